// Verifies the access token on standard input with jose, as a gateway does that knows only the issuer.
// Prints the subject.
import { text } from "node:stream/consumers";
import { createRemoteJWKSet, jwtVerify } from "jose";

const issuer = process.argv[2];
const response = await fetch(`${issuer}/.well-known/openid-configuration`);
const { jwks_uri } = await response.json();
const { payload } = await jwtVerify(
  (await text(process.stdin)).trim(),
  createRemoteJWKSet(new URL(jwks_uri)),
  { issuer, audience: issuer, typ: "at+jwt" },
);
console.log(payload.sub);
