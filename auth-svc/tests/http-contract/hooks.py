"""The sessions of the requests that schemathesis sends to auth-svc.

`SESSIONS` is a JSON object: operation ids and the session that each one uses. An operation that ends
its session, or the membership of its person, has a session of its own. All others use that of "".
"""

import json
import os

import schemathesis

COOKIE = "__Host-latchkey-session"
SESSIONS = json.loads(os.environ["SESSIONS"])
ORIGIN = os.environ["ORIGIN"]


@schemathesis.hook
def before_call(context, case, kwargs):
    raw = case.operation.definition.raw
    session = SESSIONS.get(raw.get("operationId"), SESSIONS[""])
    case.cookies = {}
    case.headers = {**(case.headers or {}), "Cookie": f"{COOKIE}={session}"}
    # A browser sends the origin with a form; without it, the service refuses forms at once.
    if "pages" in raw.get("tags", []):
        case.headers["Origin"] = ORIGIN
