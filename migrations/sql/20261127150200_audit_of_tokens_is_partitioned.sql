-- vault.audit is partitioned by week (Monday, UTC), and old weeks are dropped instead of deleted (decision 37).
-- The previous version copies rows into the same name. Nothing is read or written here but the catalogue.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = '30s';
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';

-- The name belongs to the new table before anybody can look for it.
-- squawk-ignore renaming-table
ALTER TABLE vault.audit RENAME TO audit_first;
-- squawk-ignore renaming-object
ALTER INDEX vault.audit_pkey RENAME TO audit_first_pkey;
-- squawk-ignore renaming-object
ALTER INDEX vault.audit_at_and_account RENAME TO audit_first_at_and_account;

-- It has no primary key, because that would have to contain `at`. Each partition has its own, on `id`: a batch
-- that is sent twice has the same times and goes to the same partitions, which refuse it.
CREATE TABLE vault.audit (LIKE vault.audit_first) PARTITION BY RANGE (at);
CREATE INDEX audit_at_and_account ON vault.audit
    USING brin (at, account_id uuid_bloom_ops)
    WITH (pages_per_range = 32, autosummarize = on);

DO $$
DECLARE
    bound timestamptz;
    allowed record;
BEGIN
    SELECT substring(pg_get_constraintdef(oid) FROM '''([^'']+)''')::timestamptz INTO STRICT bound
    FROM pg_constraint
    WHERE conrelid = 'vault.audit_first'::regclass AND conname = 'audit_bound' AND convalidated;
    -- The index of the table becomes a part of the new one; the constraint makes it needless to read the rows.
    EXECUTE format('ALTER TABLE vault.audit ATTACH PARTITION vault.audit_first
                    FOR VALUES FROM (MINVALUE) TO (%L)', bound);
    -- Also what an operator granted to roles of their own. Nobody uses a partition by its own name.
    FOR allowed IN
        SELECT a.privilege_type AS what,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS who,
               CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS how
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'vault.audit_first'::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON vault.audit TO %s%s', allowed.what, allowed.who, allowed.how);
        EXECUTE format('REVOKE %s ON vault.audit_first FROM %s CASCADE', allowed.what, allowed.who);
    END LOOP;
END
$$;
-- The bound of the partition says the same.
-- squawk-ignore ban-drop-constraint
ALTER TABLE vault.audit_first DROP CONSTRAINT audit_bound;

-- For rows that no other partition takes, so that a missing one never refuses a record.
CREATE TABLE vault.audit_default PARTITION OF vault.audit (PRIMARY KEY (id)) DEFAULT;

-- The partitions. `until` is the end, NULL for the default one; `is_whole` says that it holds one week and is
-- dropped as a whole.
CREATE FUNCTION vault.audit_partitions() RETURNS TABLE (name text, until timestamptz, is_whole boolean)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS
$fn$
    SELECT relname::text,
           substring(bound FROM 'TO \(''([^'']+)''\)')::timestamptz,
           bound LIKE 'FOR VALUES FROM (''%'
    FROM (SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bound
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent = 'vault.audit'::regclass) AS parts
$fn$;
REVOKE EXECUTE ON FUNCTION vault.audit_partitions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault.audit_partitions() TO latchkey_operator;

-- Creates the partitions of the next five weeks and returns how many were missing. refresh-svc calls it, so
-- its role needs no right to create tables. ATTACH lets others write to the table, CREATE … PARTITION OF does
-- not. A week that the default partition already has rows of stays there.
CREATE FUNCTION vault.audit_prepare() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET TimeZone = 'UTC' SET DateStyle = 'ISO' SET lock_timeout = '2s' AS
$fn$
DECLARE
    week timestamptz;
    part text;
    created integer := 0;
BEGIN
    -- Another replica is doing it.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('vault.audit_prepare', 0)) THEN
        RETURN 0;
    END IF;
    SELECT greatest(max(until), date_trunc('week', now())) INTO week FROM vault.audit_partitions();
    WHILE week < now() + interval '35 days' LOOP
        IF NOT EXISTS (SELECT FROM vault.audit_default
                       WHERE at >= week AND at < week + interval '7 days') THEN
            part := 'audit_' || to_char(week, 'YYYYMMDD');
            EXECUTE format('CREATE TABLE vault.%I (LIKE vault.audit, PRIMARY KEY (id))', part);
            EXECUTE format('ALTER TABLE vault.audit ATTACH PARTITION vault.%I FOR VALUES FROM (%L) TO (%L)',
                           part, week, week + interval '7 days');
            created := created + 1;
        END IF;
        week := week + interval '7 days';
    END LOOP;
    RETURN created;
END
$fn$;
REVOKE EXECUTE ON FUNCTION vault.audit_prepare() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault.audit_prepare() TO latchkey_refresh;

SELECT vault.audit_prepare();
