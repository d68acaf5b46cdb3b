-- Back-channel logout: a provider ends the sessions that began with one of its own, or all of a person.
ALTER TABLE auth.session
    -- The provider, the issuer and its session (`sid`) that the person signed in with. NULL: the session
    -- began before this column, or the provider names no session.
    ADD COLUMN provider         text,
    ADD COLUMN issuer           text,
    ADD COLUMN provider_session text;
CREATE INDEX session_provider_session ON auth.session (provider_session)
    WHERE provider_session IS NOT NULL AND revoked_at IS NULL;

-- Logout tokens that were accepted: each counts once. A sign-in whose session at the provider ended
-- meanwhile begins none here.
CREATE TABLE auth.logout_token (
    provider         text NOT NULL,
    issuer           text NOT NULL,
    -- `jti`.
    token_id         text NOT NULL,
    provider_session text,
    expires_at       timestamptz NOT NULL,
    PRIMARY KEY (provider, issuer, token_id)
);
CREATE INDEX logout_token_provider_session ON auth.logout_token (provider_session)
    WHERE provider_session IS NOT NULL;
CREATE INDEX logout_token_expires_at ON auth.logout_token (expires_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON auth.logout_token TO latchkey_auth;
