"""A command for each thing that a caller does.

get ACCOUNT [SCOPE…]       a token, whose length is printed
replace ACCOUNT VERSION    the token after one that the provider's API answered with 401
watch ACCOUNT              changes, until the account provides no token any more
"""

import os
import sys
import time

from failure import (
    CallFailed,
    InvalidRequest,
    NotAllowed,
    NotFound,
    OperatorProblem,
    RetryLater,
    SignInAgain,
)
from tokens import Settings, Tokens, connect, token_pb2


def main(arguments: list[str]) -> None:
    with connect(settings()) as channel:
        tokens = Tokens(channel)
        match arguments:
            case ["get", account, *scopes]:
                print_token(tokens.get(account, scopes))
            case ["replace", account, version]:
                print_token(tokens.replace_after_401(account, int(version)))
            case ["watch", account]:
                watch(tokens, account)
            case _:
                sys.exit(__doc__)


def watch(tokens: Tokens, account: str) -> None:
    for change in tokens.watch(account):
        state = token_pb2.AccountState.Name(change.state).removeprefix("ACCOUNT_STATE_")
        about = describe(change.token) if change.HasField("token") else change.reason
        print(f"{state} version {change.version} {about}".rstrip(), flush=True)
        if change.state != token_pb2.ACCOUNT_STATE_ACTIVE:
            return


def explain(failed: CallFailed) -> str:
    """What a product does about each failure."""
    match failed:
        case SignInAgain(missing_scopes=[_, *_] as missing):
            return f"ask the person to grant {' '.join(missing)}"
        case SignInAgain():
            return "stop the account's work and ask the person to sign in again"
        case RetryLater():
            return "put the job back into its queue"
        case NotFound():
            return "forget the account"
        case NotAllowed():
            return "ask the operator for a rule, a certificate or a token"
        case InvalidRequest():
            return "correct this program"
        case OperatorProblem():
            return "tell the operator; the person need not do anything"
        case _:
            raise failed


def settings() -> Settings:
    return Settings(
        address=variable("LATCHKEY_TOKEN_ADDRESS"),
        authority=variable("LATCHKEY_TOKEN_CA"),
        certificate=variable("LATCHKEY_TOKEN_CERT"),
        key=variable("LATCHKEY_TOKEN_KEY"),
        token_file=os.environ.get("LATCHKEY_CALLER_TOKEN_FILE"),
    )


def variable(name: str) -> str:
    return os.environ.get(name) or sys.exit(f"set {name}")


def print_token(token: token_pb2.AccessToken) -> None:
    print(f"version {token.version} {describe(token)}")


def describe(token: token_pb2.AccessToken) -> str:
    """Never the token itself."""
    seconds = round(token.expires_at.ToSeconds() - time.time())
    return f"{token.token_type} token of {len(token.access_token)} characters for {seconds} s"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CallFailed as failed:
        print(failed)
        print(f"→ {explain(failed)}")
        sys.exit(1)
