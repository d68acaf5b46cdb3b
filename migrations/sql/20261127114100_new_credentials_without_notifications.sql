-- The insertion of a credential is no longer notified, so that the first sign-in of an account commits
-- without the lock that PostgreSQL takes for notifications. No replica has an account in memory that does
-- not exist, and no role of a service deletes a credential. Changes are notified as before.
--
-- The function decides that, and the trigger stays: dropping it would lock the table, and refresh-svc
-- trusts its cache only while all triggers exist.
CREATE OR REPLACE FUNCTION vault.credential_notify() RETURNS trigger
    LANGUAGE plpgsql AS
$fn$
BEGIN
    IF TG_OP = 'INSERT' THEN
        RETURN NULL;
    END IF;
    PERFORM pg_notify(
        'latchkey_credential_change', format('%s %s', NEW.account_id, NEW.change_number));
    -- Replicas of the previous version listen to this channel and read an account id. The
    -- next release removes it.
    PERFORM pg_notify('latchkey_credential', NEW.account_id::text);
    RETURN NULL;
END
$fn$;
