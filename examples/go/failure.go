package main

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// kind says who must act before the same call can succeed.
type kind string

const (
	// Only the person can end this failure, by signing in again.
	signInAgain kind = "SignInAgain"
	// A temporary failure: the same call may succeed later.
	retryLater kind = "RetryLater"
	// There is no such account, or it was disconnected.
	notFound kind = "NotFound"
	// The policy, the certificate or the token does not allow the call.
	notAllowed kind = "NotAllowed"
	// An error in the calling code.
	invalidRequest kind = "InvalidRequest"
	// The operator must act. The person's grant is not affected.
	operatorProblem kind = "OperatorProblem"
)

// failure is a failed call.
type failure struct {
	kind            kind
	reason, message string
	// Scopes that the grant lacks; empty if the grant itself does not work.
	missingScopes []string
	// What the next sign-in must ask of the provider; empty if it named nothing.
	claims string
	// How long to wait; nil if the service did not say.
	after *time.Duration
}

func (f *failure) Error() string {
	return fmt.Sprintf("%s %s: %s", f.kind, f.reason, f.message)
}

// failureOf converts the error of a call. The contract ties each reason to one gRPC code
// (docs/errors.md), so the code decides, also for a reason that is newer than this file.
func failureOf(err error) *failure {
	s := status.Convert(err)
	f := &failure{reason: s.Code().String(), message: s.Message()}
	for _, detail := range s.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.Domain == "latchkey" {
				f.reason = detail.Reason
				f.missingScopes = strings.Fields(detail.Metadata["missing_scopes"])
				f.claims = detail.Metadata["claims"]
			}
		case *errdetails.RetryInfo:
			after := detail.RetryDelay.AsDuration()
			f.after = &after
		}
	}
	f.kind = kindOf(s.Code(), f.reason)
	return f
}

func kindOf(code codes.Code, reason string) kind {
	switch code {
	case codes.InvalidArgument, codes.OutOfRange:
		return invalidRequest
	case codes.FailedPrecondition:
		if reason == "ACCOUNT_AMBIGUOUS" {
			return invalidRequest
		}
		return signInAgain
	case codes.NotFound:
		return notFound
	case codes.PermissionDenied, codes.Unauthenticated:
		return notAllowed
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded,
		codes.Unknown, codes.Canceled, codes.Aborted:
		return retryLater
	default:
		return operatorProblem
	}
}
