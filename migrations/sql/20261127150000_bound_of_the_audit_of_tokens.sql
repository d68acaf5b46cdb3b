-- vault.audit becomes the first partition of a partitioned table (decision 37), in three files so that no
-- lock is held for long. This one sets the end of the partition: a Monday, one to two weeks ahead. The rows
-- that exist are checked by the next file. New ones are checked at once, so the third file has to run within
-- that week; `latchkey-migrate` runs all of them one after the other.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = '30s';
SET LOCAL TimeZone = 'UTC';
DO $$
BEGIN
    EXECUTE format('ALTER TABLE vault.audit ADD CONSTRAINT audit_bound CHECK (at < %L) NOT VALID',
                   date_trunc('week', now() + interval '14 days'));
END
$$;
