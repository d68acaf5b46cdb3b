-- A change notification said only which account had changed. So a replica could not tell
-- whether the row that it had cached was older or newer than the change. Now the changes
-- of an account that are notified have numbers.
SET LOCAL lock_timeout = '3s';

ALTER TABLE vault.credential
    -- Number of the last change that was notified; 0 if there was none since the insertion.
    ADD COLUMN change_number bigint NOT NULL DEFAULT 0;

-- Which changes are notified is decided here, for every writer.
CREATE FUNCTION vault.credential_number() RETURNS trigger
    LANGUAGE plpgsql AS
$fn$
BEGIN
    NEW.change_number := OLD.change_number + 1;
    RETURN NEW;
END
$fn$;
CREATE TRIGGER credential_number BEFORE UPDATE ON vault.credential
    FOR EACH ROW WHEN (
        OLD.version IS DISTINCT FROM NEW.version
        OR OLD.auth_failed_at IS DISTINCT FROM NEW.auth_failed_at
        OR OLD.retry_after IS DISTINCT FROM NEW.retry_after
        OR OLD.erased_at IS DISTINCT FROM NEW.erased_at
        OR (OLD.lease_holder IS NOT NULL AND NEW.lease_holder IS NULL))
    EXECUTE FUNCTION vault.credential_number();

CREATE OR REPLACE TRIGGER credential_notify_update AFTER UPDATE ON vault.credential
    FOR EACH ROW WHEN (OLD.change_number IS DISTINCT FROM NEW.change_number)
    EXECUTE FUNCTION vault.credential_notify();

CREATE OR REPLACE FUNCTION vault.credential_notify() RETURNS trigger
    LANGUAGE plpgsql AS
$fn$
BEGIN
    PERFORM pg_notify(
        'latchkey_credential_change', format('%s %s', NEW.account_id, NEW.change_number));
    -- Replicas of the previous version listen to this channel and read an account id. The
    -- next release removes it.
    PERFORM pg_notify('latchkey_credential', NEW.account_id::text);
    RETURN NULL;
END
$fn$;
