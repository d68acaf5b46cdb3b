-- Sealed grants. Everything in a sealed_… column opens only with refresh-svc's
-- private key, and only for the workspace, owner, provider, issuer and subject
-- that it was sealed for.
CREATE TABLE vault.credential (
    -- sync.connected_account.id; no foreign key over schemas.
    account_id               uuid PRIMARY KEY,
    workspace_id             uuid NOT NULL,
    user_id                  uuid NOT NULL,
    provider                 text NOT NULL,
    issuer                   text NOT NULL,
    subject                  text NOT NULL,
    handle                   text NOT NULL,
    sealed_access_token      bytea,
    access_token_expires_at  timestamptz,
    sealed_refresh_token     bytea,
    granted_scopes           text[] NOT NULL,
    -- When the provider authenticated the person: decides which grant is newer.
    authenticated_at         timestamptz NOT NULL,
    -- Grows with every change of the tokens; the compare-and-swap of a refresh.
    version                  bigint NOT NULL DEFAULT 1,
    last_refreshed_at        timestamptz,
    -- Failures since the last success, and no asking before that time.
    failure_class            text,
    failure_count            integer NOT NULL DEFAULT 0,
    retry_after              timestamptz,
    -- The grant is dead: only the person can revive it.
    auth_failed_at           timestamptz,
    -- Erased by RevokeAccount.
    erased_at                timestamptz,
    -- Whether the provider confirmed the revocation; said again to who asks again.
    revoked_at_provider      boolean NOT NULL DEFAULT false,
    -- The lease of a refresh, on the database's clock. The epoch is the fencing
    -- token: it grows with every taking.
    lease_holder             uuid,
    lease_until              timestamptz,
    lease_epoch              bigint NOT NULL DEFAULT 0,
    -- Written before the request to the provider, so that a crash is known: the
    -- version whose refresh token was being spent, and how many requests with it
    -- were sent and never answered. Of no meaning once the version has moved.
    intent_version           bigint,
    intent_at                timestamptz,
    intent_count             integer NOT NULL DEFAULT 0,
    CHECK (erased_at IS NULL OR (sealed_access_token IS NULL AND sealed_refresh_token IS NULL))
);
CREATE INDEX credential_handle ON vault.credential (workspace_id, provider, lower(handle));

-- Every replica drops its cached token when the row changes.
CREATE FUNCTION vault.credential_notify() RETURNS trigger
    LANGUAGE plpgsql AS
$fn$
BEGIN
    PERFORM pg_notify('latchkey_credential', NEW.account_id::text);
    RETURN NULL;
END
$fn$;
CREATE TRIGGER credential_notify_insert AFTER INSERT ON vault.credential
    FOR EACH ROW EXECUTE FUNCTION vault.credential_notify();
CREATE TRIGGER credential_notify_update AFTER UPDATE ON vault.credential
    FOR EACH ROW WHEN (
        OLD.version IS DISTINCT FROM NEW.version
        OR OLD.auth_failed_at IS DISTINCT FROM NEW.auth_failed_at
        OR OLD.retry_after IS DISTINCT FROM NEW.retry_after
        OR OLD.erased_at IS DISTINCT FROM NEW.erased_at
        OR (OLD.lease_holder IS NOT NULL AND NEW.lease_holder IS NULL))
    EXECUTE FUNCTION vault.credential_notify();

GRANT SELECT, UPDATE ON vault.credential TO latchkey_refresh;

-- sync-svc stores what it cannot open.
GRANT USAGE ON SCHEMA vault TO latchkey_sync;
GRANT SELECT, INSERT, UPDATE ON vault.credential TO latchkey_sync;

-- What a sign-in may know: whether a living refresh token is held, so that
-- consent is asked for again only where it is needed.
CREATE VIEW vault.offline_grant AS
    SELECT workspace_id, user_id, provider, issuer, subject, granted_scopes
    FROM vault.credential
    WHERE sealed_refresh_token IS NOT NULL AND auth_failed_at IS NULL AND erased_at IS NULL;
GRANT USAGE ON SCHEMA vault TO latchkey_auth;
GRANT SELECT ON vault.offline_grant TO latchkey_auth;

-- And whether a grant is known to be dead: then a person who is signed in may
-- go round again to repair it.
CREATE VIEW vault.dead_grant AS
    SELECT workspace_id, user_id, provider, issuer, subject
    FROM vault.credential
    WHERE auth_failed_at IS NOT NULL OR erased_at IS NOT NULL;
GRANT SELECT ON vault.dead_grant TO latchkey_auth;
