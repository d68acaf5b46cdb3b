// Starts `oauth2-mock-server` with one person who has a mail address. See
// tests/foreign_provider/main.rs.
import { webcrypto } from 'node:crypto';

// Node.js 18 has no global crypto.
globalThis.crypto ??= webcrypto;
const { OAuth2Server } = await import('oauth2-mock-server');

const { PORT, PERSON } = process.env;
const server = new OAuth2Server();
await server.issuer.keys.generate('RS256');
// By default it has only the subject `johndoe`, and responds with the scope `dummy` if the
// token request names none.
server.service.on('beforeTokenSigning', (token) => {
  token.payload.email = PERSON;
  token.payload.email_verified = true;
  token.payload.jti = crypto.randomUUID();
});
const revoked = [];
server.service.on('beforeRevoke', (_response, request) => revoked.push(request.url));
server.service.addRoute('GET', '/revocations', (_request, response) => {
  response.end(String(revoked.length));
});
await server.start(Number(PORT), '127.0.0.1');
console.log(server.issuer.url);
