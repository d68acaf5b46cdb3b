-- What a session's access tokens say of the person's authentication at the provider (RFC 9068
-- section 2.2.1), so that a service can require a second factor or a recent sign-in.
SET LOCAL lock_timeout = '3s';
ALTER TABLE auth.session
    -- `acr` of the ID token, 255 bytes at most. NULL: it has none, or the session began before this
    -- column.
    ADD COLUMN acr              text,
    -- `auth_time` of the ID token. NULL: as for `acr`.
    ADD COLUMN authenticated_at timestamptz;
