package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	tokenv1 "latchkey.example/caller/stubs/latchkey/token/v1"
)

const (
	// Deadline of one call. A refresh continues even after its caller has given up.
	callTimeout = 20 * time.Second
	// How long temporary failures are retried.
	patience = time.Minute
	// A stream that ended with OK is opened again after one to two of these.
	reopenAfter = 500 * time.Millisecond
	// The delays without RetryInfo grow from the first to the last.
	firstDelay = 200 * time.Millisecond
	lastDelay  = 30 * time.Second
)

// tokens asks refresh-svc, and asks again after temporary failures.
type tokens struct {
	service tokenv1.TokenServiceClient
}

// get returns a token that is valid for at least another minute. Ask before every call to the
// provider, and keep no token: refresh-svc answers from memory.
func (t tokens) get(ctx context.Context, account string, requiredScopes []string) (*tokenv1.AccessToken, error) {
	return retrying(ctx, func(ctx context.Context) (*tokenv1.AccessToken, error) {
		answer, err := t.service.GetAccessToken(ctx, &tokenv1.GetAccessTokenRequest{
			Account:        byID(account),
			MinRemaining:   durationpb.New(time.Minute),
			RequiredScopes: requiredScopes,
		})
		return answer.GetToken(), err
	})
}

// replaceAfter401 replaces a token that the provider's API answered with 401; refused is its
// version.
func (t tokens) replaceAfter401(ctx context.Context, account string, refused int64) (*tokenv1.AccessToken, error) {
	return retrying(ctx, func(ctx context.Context) (*tokenv1.AccessToken, error) {
		answer, err := t.service.RefreshAccessToken(ctx, &tokenv1.RefreshAccessTokenRequest{
			Account:        byID(account),
			RefusedVersion: refused,
		})
		return answer.GetToken(), err
	})
}

// watch calls changed with the present state of the account and with every change, until changed
// returns false. A stream ends with OK after ten minutes and when the service stops, and another
// one is opened.
func (t tokens) watch(ctx context.Context, account string, changed func(*tokenv1.WatchAccountResponse) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for failures := 0; ; {
		err := t.watchOnce(ctx, account, func(change *tokenv1.WatchAccountResponse) bool {
			failures = 0
			return changed(change)
		})
		delay := time.Duration(float64(reopenAfter) * (1 + rand.Float64()))
		switch {
		case err == nil:
			return nil
		case err != io.EOF:
			failures++
			f := failureOf(err)
			if f.kind != retryLater {
				return f
			}
			delay = f.delay(failures)
			printRetry(f, delay)
		}
		if err := sleep(ctx, delay); err != nil {
			return err
		}
	}
}

// watchOnce returns io.EOF at the end of the stream, and nil if changed returned false.
func (t tokens) watchOnce(ctx context.Context, account string, changed func(*tokenv1.WatchAccountResponse) bool) error {
	stream, err := t.service.WatchAccount(ctx, &tokenv1.WatchAccountRequest{Account: byID(account)})
	if err != nil {
		return err
	}
	for {
		change, err := stream.Recv()
		if err != nil {
			return err
		}
		if !changed(change) {
			return nil
		}
	}
}

func byID(account string) *tokenv1.AccountSelector {
	return &tokenv1.AccountSelector{Selector: &tokenv1.AccountSelector_AccountId{AccountId: account}}
}

// retrying calls again after temporary failures. Every call of the contract may be repeated.
func retrying[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	giveUpAt := time.Now().Add(patience)
	for failures := 1; ; failures++ {
		answer, err := once(ctx, call)
		if err == nil {
			return answer, nil
		}
		f := failureOf(err)
		delay := f.delay(failures)
		if f.kind != retryLater || time.Now().Add(delay).After(giveUpAt) {
			return answer, f
		}
		printRetry(f, delay)
		if err := sleep(ctx, delay); err != nil {
			return answer, err
		}
	}
}

func once[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return call(ctx)
}

// delay returns the delay as RetryInfo says, else a growing one; the number of failures begins
// with 1.
func (f *failure) delay(failures int) time.Duration {
	delay := lastDelay
	if f.after != nil {
		delay = *f.after
	} else if failures < 8 {
		delay = min(firstDelay<<(failures-1), lastDelay)
	}
	// Callers that failed together do not come back together.
	return time.Duration(float64(delay) * (1 + rand.Float64()/2))
}

func printRetry(f *failure, delay time.Duration) {
	fmt.Printf("%s %s: again in %.1f s\n", f.kind, f.reason, delay.Seconds())
}

func sleep(ctx context.Context, delay time.Duration) error {
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
