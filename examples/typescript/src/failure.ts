// Failed calls, distinguished by who must act. The contract ties each reason to one gRPC code
// (docs/errors.md), so the code decides, also for a reason that is newer than this file.

import { status, type ServiceError } from "@grpc/grpc-js";
import type { Any } from "./stubs/google/protobuf/any.js";
import { ErrorInfo, RetryInfo } from "./stubs/google/rpc/error_details.js";
import { ErrorStatus } from "./stubs/latchkey/token/v1/token.js";

export type Failure = { readonly reason: string; readonly message: string } & (
  | SignInAgain
  | RetryLater
  | { readonly kind: "NotFound" | "NotAllowed" | "InvalidRequest" | "OperatorProblem" }
);

/** Only the person can end this failure, by signing in again. */
interface SignInAgain {
  readonly kind: "SignInAgain";
  /** Scopes that the grant lacks; empty if the grant itself does not work. */
  readonly missingScopes: readonly string[];
  /** What the next sign-in must ask of the provider, if it named something. */
  readonly claims: string | undefined;
}

/** A temporary failure: the same call may succeed later. */
interface RetryLater {
  readonly kind: "RetryLater";
  /** How long to wait, in milliseconds; undefined if the service did not say. */
  readonly afterMs: number | undefined;
}

/** What the calls of this example throw. */
export class CallFailed extends Error {
  constructor(readonly failure: Failure) {
    super(`${failure.kind} ${failure.reason}: ${failure.message}`);
    this.name = "CallFailed";
  }
}

/** Converts what a call of `@grpc/grpc-js` failed with; anything else is thrown again. */
export function failureOf(error: unknown): Failure {
  if (!isServiceError(error)) {
    throw error;
  }
  const [details] = error.metadata.get("grpc-status-details-bin");
  // The header is a google.rpc.Status, whose fields `ErrorStatus` has. It is absent if
  // @grpc/grpc-js made the error, because the service cannot be reached.
  return Buffer.isBuffer(details)
    ? failureOfStatus(ErrorStatus.decode(details))
    : failureOfStatus(ErrorStatus.create({ code: error.code, message: error.details }));
}

/** Converts a status, such as that of one account in the answer to `BatchGetAccessTokens`. */
export function failureOfStatus({ code, message, details }: ErrorStatus): Failure {
  const info = detail(details, "google.rpc.ErrorInfo", ErrorInfo);
  const reason = info?.domain === "latchkey" ? info.reason : (status[code] ?? String(code));
  switch (code) {
    case status.INVALID_ARGUMENT:
    case status.OUT_OF_RANGE:
      return { kind: "InvalidRequest", reason, message };
    case status.FAILED_PRECONDITION:
      if (reason === "ACCOUNT_AMBIGUOUS") {
        return { kind: "InvalidRequest", reason, message };
      }
      return {
        kind: "SignInAgain",
        reason,
        message,
        missingScopes: info?.metadata["missing_scopes"]?.split(" ") ?? [],
        claims: info?.metadata["claims"],
      };
    case status.NOT_FOUND:
      return { kind: "NotFound", reason, message };
    case status.PERMISSION_DENIED:
    case status.UNAUTHENTICATED:
      return { kind: "NotAllowed", reason, message };
    case status.UNAVAILABLE:
    case status.RESOURCE_EXHAUSTED:
    case status.DEADLINE_EXCEEDED:
    case status.UNKNOWN:
    case status.CANCELLED:
    case status.ABORTED:
      return { kind: "RetryLater", reason, message, afterMs: retryDelayMs(details) };
    default:
      return { kind: "OperatorProblem", reason, message };
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

function retryDelayMs(details: readonly Any[]): number | undefined {
  const delay = detail(details, "google.rpc.RetryInfo", RetryInfo)?.retryDelay;
  return delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6;
}

function detail<T>(
  details: readonly Any[],
  type: string,
  codec: { decode(bytes: Uint8Array): T },
): T | undefined {
  const found = details.find((one) => one.typeUrl.endsWith(`/${type}`));
  return found && codec.decode(found.value);
}
