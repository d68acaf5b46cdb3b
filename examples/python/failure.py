"""Failed calls, distinguished by who must act.

The contract ties each reason to one gRPC code (docs/errors.md), so the code decides, also for a
reason that is newer than this file.
"""

from dataclasses import dataclass, field

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

INVALID_REQUEST = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE}
NOT_ALLOWED = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}
RETRY_LATER = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
}


@dataclass(eq=False)
class CallFailed(Exception):
    """A call failed. The class says who must act."""

    reason: str
    message: str

    def __str__(self) -> str:
        return f"{type(self).__name__} {self.reason}: {self.message}"


@dataclass(eq=False)
class SignInAgain(CallFailed):
    """Only the person can end this failure, by signing in again."""

    # Scopes that the grant lacks; empty if the grant itself does not work.
    missing_scopes: list[str] = field(default_factory=list)
    # What the next sign-in must ask of the provider, if it named something.
    claims: str | None = None


@dataclass(eq=False)
class RetryLater(CallFailed):
    """A temporary failure: the same call may succeed later."""

    # Seconds to wait; None if the service did not say.
    after: float | None = None


class NotFound(CallFailed):
    """There is no such account, or it was disconnected."""


class NotAllowed(CallFailed):
    """The policy, the certificate or the token does not allow the call."""


class InvalidRequest(CallFailed):
    """An error in the calling code."""


class OperatorProblem(CallFailed):
    """The operator must act. The person's grant is not affected."""


def failure_of(error: grpc.RpcError) -> CallFailed:
    """Converts the error of a call."""
    code, message = error.code(), error.details() or ""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    # Absent if grpcio made the error, because the service cannot be reached.
    status = rpc_status.from_call(error)
    has_info = unpack(status, info) and info.domain == "latchkey"
    reason = info.reason if has_info else code.name
    if code in INVALID_REQUEST or reason == "ACCOUNT_AMBIGUOUS":
        return InvalidRequest(reason, message)
    if code == grpc.StatusCode.FAILED_PRECONDITION:
        missing = info.metadata.get("missing_scopes", "").split()
        return SignInAgain(reason, message, missing, info.metadata.get("claims"))
    if code == grpc.StatusCode.NOT_FOUND:
        return NotFound(reason, message)
    if code in NOT_ALLOWED:
        return NotAllowed(reason, message)
    if code in RETRY_LATER:
        delay = retry.retry_delay.ToTimedelta() if unpack(status, retry) else None
        return RetryLater(reason, message, delay and delay.total_seconds())
    return OperatorProblem(reason, message)


def unpack(status, detail: Message) -> bool:
    """Reads the detail of this type. Returns `False` if the status has none."""
    return status is not None and any(one.Unpack(detail) for one in status.details)
