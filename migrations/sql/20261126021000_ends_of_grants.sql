-- When a grant ends by itself, and what earlier sign-ins left at the provider.
ALTER TABLE vault.credential
    -- When the provider ends the refresh token, and from when on it is renewed before
    -- that. Both are of one version: an older service that stores tokens knows neither.
    ADD COLUMN refresh_token_version bigint,
    ADD COLUMN refresh_token_expires_at timestamptz,
    ADD COLUMN renew_at timestamptz;
-- The grants to renew, the soonest first.
CREATE INDEX credential_renew_at ON vault.credential (renew_at)
    WHERE renew_at IS NOT NULL AND auth_failed_at IS NULL AND erased_at IS NULL;

-- Refresh tokens that a later sign-in replaced. Some providers (Keycloak) go on serving
-- each of them; others would end the new grant if the old one were revoked at once. So
-- they are kept, sealed, and revoked when the account is disconnected.
CREATE TABLE vault.replaced_grant (
    id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id            uuid NOT NULL,
    sealed_refresh_token  bytea NOT NULL,
    replaced_at           timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX replaced_grant_account ON vault.replaced_grant (account_id, id);
GRANT SELECT, INSERT, DELETE ON vault.replaced_grant TO latchkey_sync;
GRANT SELECT, UPDATE, DELETE ON vault.replaced_grant TO latchkey_refresh;
