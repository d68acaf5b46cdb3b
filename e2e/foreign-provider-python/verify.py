"""Verifies the access token on standard input with a library, as a gateway does that knows only the
issuer. Prints the subject."""

import json
import sys
import urllib.request

library, issuer = sys.argv[1:]
token = sys.stdin.read().strip()


def get(url):
    with urllib.request.urlopen(url, timeout=30) as response:
        return json.load(response)


metadata = get(f"{issuer}/.well-known/oauth-authorization-server")
keys = get(metadata["jwks_uri"])
algorithms = metadata["id_token_signing_alg_values_supported"]

if library == "joserfc":
    from joserfc import jwt
    from joserfc.jwk import KeySet

    verified = jwt.decode(token, KeySet.import_key_set(keys), algorithms=algorithms)
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer}, aud={"essential": True, "value": issuer}
    )
    registry.validate(verified.claims)
    print(verified.claims["sub"])
else:
    from jwcrypto import jwk, jwt

    verified = jwt.JWT(
        jwt=token,
        key=jwk.JWKSet.from_json(json.dumps(keys)),
        algs=algorithms,
        check_claims={"iss": issuer, "aud": issuer, "exp": None},
    )
    print(json.loads(verified.claims)["sub"])
