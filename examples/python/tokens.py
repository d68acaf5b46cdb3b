"""Access tokens for connected accounts, and the changes of an account."""

import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc

# The stubs import each other as `latchkey.…`.
sys.path.append(str(Path(__file__).parent / "stubs"))

from latchkey.token.v1 import token_pb2, token_pb2_grpc  # noqa: E402

from failure import CallFailed, RetryLater, failure_of  # noqa: E402

# All times are in seconds. A refresh continues even after its caller has given up.
CALL_TIMEOUT = 20
# How long temporary failures are retried.
PATIENCE = 60
# A stream that ended with OK is opened again after one to two of these.
REOPEN_AFTER = 0.5
# The delays without RetryInfo grow from the first to the last.
FIRST_DELAY, LAST_DELAY = 0.2, 30

T = TypeVar("T")


@dataclass
class Settings:
    """Where refresh-svc is, and what names this caller."""

    # `host:port`.
    address: str
    # Paths of the CA certificate of refresh-svc's certificate, and of one's own certificate and
    # key, PEM.
    authority: str
    certificate: str
    key: str
    # Path of a Kubernetes service account's token; only if `CALLERS_BY` is not `certificate`.
    token_file: str | None = None


class ServiceAccount(grpc.AuthMetadataPlugin):
    """Sends the token of a service account with each call."""

    def __init__(self, token_file: str):
        self.token_file = Path(token_file)

    def __call__(self, _context, callback):
        # Kubernetes replaces the file before the token expires, so each call reads it.
        token = self.token_file.read_text().strip()
        callback((("authorization", f"Bearer {token}"),), None)


def connect(settings: Settings) -> grpc.Channel:
    """Connects to refresh-svc. A process keeps one connection for all of its calls."""
    credentials = grpc.ssl_channel_credentials(
        Path(settings.authority).read_bytes(),
        Path(settings.key).read_bytes(),
        Path(settings.certificate).read_bytes(),
    )
    if settings.token_file:
        plugin = ServiceAccount(settings.token_file)
        credentials = grpc.composite_channel_credentials(
            credentials, grpc.metadata_call_credentials(plugin)
        )
    return grpc.secure_channel(settings.address, credentials)


def print_retry(failed: CallFailed, delay: float) -> None:
    """Tells of a failure after which the call is made again."""
    print(f"{type(failed).__name__} {failed.reason}: again in {delay:.1f} s", flush=True)


class Tokens:
    """Asks refresh-svc, and asks again after temporary failures."""

    def __init__(self, channel: grpc.Channel):
        self.service = token_pb2_grpc.TokenServiceStub(channel)

    def get(self, account: str, required_scopes: list[str]) -> token_pb2.AccessToken:
        """Returns a token that is valid for at least another minute.

        Ask before every call to the provider, and keep no token: refresh-svc answers from memory.
        """
        request = token_pb2.GetAccessTokenRequest(
            account=by_id(account), required_scopes=required_scopes
        )
        request.min_remaining.seconds = 60
        return retrying(lambda: self.service.GetAccessToken(request, timeout=CALL_TIMEOUT)).token

    def replace_after_401(self, account: str, refused: int) -> token_pb2.AccessToken:
        """Replaces a token that the provider's API answered with 401; `refused` is its version."""
        request = token_pb2.RefreshAccessTokenRequest(
            account=by_id(account), refused_version=refused
        )
        return retrying(
            lambda: self.service.RefreshAccessToken(request, timeout=CALL_TIMEOUT)
        ).token

    def watch(self, account: str) -> Iterator[token_pb2.WatchAccountResponse]:
        """Yields the present state of the account and then every change, without an end.

        A stream ends with OK after ten minutes and when the service stops, and another one is
        opened.
        """
        request = token_pb2.WatchAccountRequest(account=by_id(account))
        failures = 0
        while True:
            stream = self.service.WatchAccount(request)
            try:
                for change in stream:
                    failures = 0
                    yield change
                time.sleep(REOPEN_AFTER * random.uniform(1, 2))
            except grpc.RpcError as error:
                failures += 1
                failed = failure_of(error)
                delay = retry_delay(failed, failures)
                if delay is None:
                    raise failed from error
                print_retry(failed, delay)
                time.sleep(delay)
            finally:
                stream.cancel()


def by_id(account: str) -> token_pb2.AccountSelector:
    """Selects an account by its id."""
    return token_pb2.AccountSelector(account_id=account)


def retrying(call: Callable[[], T]) -> T:
    """Calls again after temporary failures. Every call of the contract may be repeated."""
    give_up_at = time.monotonic() + PATIENCE
    failures = 0
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            failures += 1
            failed = failure_of(error)
            delay = retry_delay(failed, failures)
            if delay is None or time.monotonic() + delay > give_up_at:
                raise failed from error
            print_retry(failed, delay)
            time.sleep(delay)


def retry_delay(failed: CallFailed, failures: int) -> float | None:
    """Returns the delay as RetryInfo says, else a growing one.

    Returns `None` if a retry does not help. The number of failures begins with 1.
    """
    if not isinstance(failed, RetryLater):
        return None
    growing = min(FIRST_DELAY * 2 ** (failures - 1), LAST_DELAY)
    # Callers that failed together do not come back together.
    return (failed.after if failed.after is not None else growing) * random.uniform(1, 1.5)
