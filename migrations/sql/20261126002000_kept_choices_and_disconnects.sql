-- A disconnect holds until the person connects deliberately, a grant is kept
-- part by part, and a choice of visibility is ordered by its own time.

ALTER TABLE vault.credential
    -- The latest disconnect. A grant from before it never counts, and nothing
    -- clears it.
    ADD COLUMN not_before timestamptz,
    -- The sign-in that the refresh token came from, and its scopes, if they
    -- differ from those of the access token (authenticated_at, granted_scopes).
    ADD COLUMN refresh_authenticated_at timestamptz,
    ADD COLUMN refresh_scopes text[],
    ADD CONSTRAINT credential_refresh_origin
        CHECK ((refresh_authenticated_at IS NULL) = (refresh_scopes IS NULL));

UPDATE vault.credential c
SET not_before = greatest(c.erased_at, a.disconnected_at)
FROM sync.connected_account a
WHERE a.id = c.account_id AND (c.erased_at IS NOT NULL OR a.disconnected_at IS NOT NULL);

-- Holds for every writer, replicas of the previous version among them.
CREATE FUNCTION vault.credential_keep() RETURNS trigger
    LANGUAGE plpgsql AS
$fn$
BEGIN
    NEW.not_before := greatest(OLD.not_before, NEW.not_before, OLD.erased_at, NEW.erased_at);
    -- A writer that does not know the columns replaced the whole grant, or the
    -- refresh token is gone.
    IF NEW.sealed_refresh_token IS NULL
        OR (NEW.sealed_refresh_token IS DISTINCT FROM OLD.sealed_refresh_token
            AND NEW.authenticated_at IS DISTINCT FROM OLD.authenticated_at
            AND NEW.refresh_authenticated_at IS NOT DISTINCT FROM OLD.refresh_authenticated_at)
    THEN
        NEW.refresh_authenticated_at := NULL;
        NEW.refresh_scopes := NULL;
    END IF;
    RETURN NEW;
END
$fn$;
CREATE TRIGGER credential_keep BEFORE UPDATE ON vault.credential
    FOR EACH ROW WHEN (
        OLD.erased_at IS NOT NULL OR NEW.erased_at IS NOT NULL
        OR OLD.not_before IS DISTINCT FROM NEW.not_before
        OR OLD.refresh_authenticated_at IS NOT NULL OR NEW.refresh_authenticated_at IS NOT NULL)
    EXECUTE FUNCTION vault.credential_keep();

-- Accounts of one identity at one provider: a revocation may end all of them.
CREATE INDEX credential_identity ON vault.credential (provider, issuer, subject);

-- Grants that the provider refused and that were replaced since: an older
-- sign-in that arrives late must not bring them back.
CREATE TABLE sync.grant_death (
    account_id       uuid NOT NULL REFERENCES sync.connected_account ON DELETE CASCADE,
    died_at          timestamptz NOT NULL,
    -- The grant that died: its number of data scopes and its sign-in.
    width            integer NOT NULL,
    authenticated_at timestamptz NOT NULL,
    -- False if it had no refresh token and ended with its access token.
    of_refresh_token boolean NOT NULL,
    PRIMARY KEY (account_id, died_at)
);
GRANT SELECT, INSERT, DELETE ON sync.grant_death TO latchkey_sync;

-- When the person chose the visibility; NULL if they never did.
ALTER TABLE sync.message_channel ADD COLUMN visibility_chosen_at timestamptz;
ALTER TABLE sync.calendar_channel ADD COLUMN visibility_chosen_at timestamptz;
-- What is stored may have been chosen: nothing from before may replace it.
UPDATE sync.message_channel c SET visibility_chosen_at = a.last_authenticated_at
FROM sync.connected_account a WHERE a.id = c.account_id;
UPDATE sync.calendar_channel c SET visibility_chosen_at = a.last_authenticated_at
FROM sync.connected_account a WHERE a.id = c.account_id;

-- What a sign-in may know of grants. The scopes are those that a refresh gives.
CREATE OR REPLACE VIEW vault.offline_grant AS
    SELECT workspace_id, user_id, provider, issuer, subject,
           coalesce(refresh_scopes, granted_scopes) AS granted_scopes
    FROM vault.credential
    WHERE sealed_refresh_token IS NOT NULL AND auth_failed_at IS NULL AND erased_at IS NULL;

-- Dead: the provider refused it, and a sign-in repairs it. What the person
-- disconnected is not dead.
CREATE OR REPLACE VIEW vault.dead_grant AS
    SELECT workspace_id, user_id, provider, issuer, subject
    FROM vault.credential
    WHERE auth_failed_at IS NOT NULL AND erased_at IS NULL;

-- Accounts that a plain sign-in does not change: disconnected, or connected
-- deliberately since and alive. No consent is asked for their sake.
CREATE VIEW vault.closed_to_sign_in AS
    SELECT workspace_id, user_id, provider, issuer, subject
    FROM vault.credential
    WHERE erased_at IS NOT NULL OR (not_before IS NOT NULL AND auth_failed_at IS NULL);
GRANT SELECT ON vault.closed_to_sign_in TO latchkey_auth;
