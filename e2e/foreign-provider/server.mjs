// Starts `oidc-provider` with its defaults, one client and one person. Prints the issuer
// when it listens. See tests/foreign_provider/main.rs.
import Provider from 'oidc-provider';

const { PORT, CLIENT_ID, CLIENT_SECRET, REDIRECT_URIS, ACCESS_TOKEN_TTL, JWKS_URI } = process.env;
const issuer = `http://127.0.0.1:${PORT}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: CLIENT_ID,
      // With an address of keys, the client authenticates with a key in place of the secret.
      ...(JWKS_URI
        ? { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: JWKS_URI }
        : { client_secret: CLIENT_SECRET }),
      redirect_uris: REDIRECT_URIS.split(' '),
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
    },
  ],
  // The built-in pages for sign-in and consent are plain forms.
  features: { devInteractions: { enabled: true }, revocation: { enabled: true } },
  pkce: { required: () => true },
  scopes: ['openid', 'offline_access', 'email', 'profile'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  // By default the userinfo endpoint alone has address and name.
  ttl: {
    AccessToken: Number(ACCESS_TOKEN_TTL),
    AuthorizationCode: 60,
    IdToken: 3600,
    RefreshToken: 86400,
    Interaction: 600,
    Session: 86400,
    Grant: 86400,
  },
  rotateRefreshToken: true,
  cookies: { keys: ['only for this test'] },
  // Its own dispatcher refuses addresses of this host, where the keys of the client are.
  fetch: (url, { dispatcher: _, ...options }) => fetch(url, options),
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@acme.example`, email_verified: true, name: id }),
  }),
});

let refreshes = 0;
provider.on('grant.success', (context) => {
  if (context.oidc.params.grant_type === 'refresh_token') refreshes += 1;
});
provider.on('server_error', (_context, error) => console.error(error));
provider.on('grant.error', (_context, error) => console.error(error));
provider.on('authorization.error', (_context, error) => console.error(error));
provider.use(async (context, next) => {
  if (context.path === '/refreshes') {
    context.body = String(refreshes);
    return;
  }
  await next();
});

provider.listen(Number(PORT), '127.0.0.1', () => console.log(issuer));
