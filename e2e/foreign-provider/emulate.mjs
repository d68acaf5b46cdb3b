// Starts Google, Microsoft or Okta of `emulate` with one client and one person. See
// tests/foreign_provider/main.rs.
import { webcrypto } from 'node:crypto';
import net from 'node:net';

// Node.js 18 has no global crypto.
globalThis.crypto ??= webcrypto;
const { createEmulator } = await import('emulate');

const { PORT, SERVICE, CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS, PERSON, TENANT } = process.env;
// There is no option for the address, and it would listen on all addresses.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function onLoopback(_where, ...rest) {
  const listening = rest.find((one) => typeof one === 'function');
  return listen.call(this, { port: Number(PORT), host: '127.0.0.1' }, listening);
};

const person = { email: PERSON, login: PERSON, name: 'Ada Lovelace', tenant_id: TENANT };
const client = {
  client_id: CLIENT_ID,
  client_secret: CLIENT_SECRET,
  name: 'Latchkey',
  redirect_uris: REDIRECT_URIS.split(' '),
  token_endpoint_auth_method: 'client_secret_basic',
};
const { url } = await createEmulator({
  service: SERVICE,
  port: Number(PORT),
  baseUrl: `http://127.0.0.1:${PORT}`,
  seed: { [SERVICE]: { users: [person], oauth_clients: [client] } },
});
console.log(url);
