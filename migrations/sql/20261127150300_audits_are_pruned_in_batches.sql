-- The audits are pruned in bounded batches: each function gets a second form, which deletes about `at_most`
-- records in a transaction, and `latchkey audit prune` calls it until it returns less. The first form stays as
-- it is, for the command of the previous release: it deletes all rows in one statement, and drops no partition.

-- The only way that records go: by people, never the younger ones, and told. Weeks that are over are dropped;
-- of the partitions that hold no single week at most `at_most` rows are deleted. Returns the number of records;
-- there may be more if it is `at_most` or greater. The lock of a drop stops writers, so it is the last step.
CREATE FUNCTION vault.audit_prune(keep interval, at_most bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '3s' AS
$fn$
DECLARE
    part text;
    weeks text[] := '{}';
    counted bigint;
    pruned bigint := 0;
BEGIN
    IF keep IS NULL OR keep < interval '30 days' THEN
        RAISE EXCEPTION 'audit records are kept for 30 days at least';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('vault.audit_prune', 0));
    FOR part IN SELECT name FROM vault.audit_partitions() WHERE NOT is_whole
                AND (until IS NULL OR until > now() - keep) LOOP
        EXECUTE format('DELETE FROM vault.%1$I WHERE ctid = ANY (ARRAY(
                            SELECT ctid FROM vault.%1$I WHERE at < $1 LIMIT $2))', part)
            USING now() - keep, at_most - pruned;
        GET DIAGNOSTICS counted = ROW_COUNT;
        pruned := pruned + counted;
    END LOOP;
    FOR part IN SELECT name FROM vault.audit_partitions() WHERE until <= now() - keep ORDER BY until LOOP
        EXIT WHEN pruned >= at_most;
        EXECUTE format('SELECT count(*) FROM vault.%I', part) INTO counted;
        pruned := pruned + counted;
        weeks := weeks || part;
    END LOOP;
    INSERT INTO vault.audit (id, at, caller, method, outcome, reason)
    VALUES (gen_random_uuid(), now(), session_user, 'audit_prune', 'PRUNED',
            format('%s records older than %s', pruned, keep));
    FOREACH part IN ARRAY weeks LOOP
        EXECUTE format('DROP TABLE vault.%I', part);
    END LOOP;
    RETURN pruned;
END
$fn$;

CREATE FUNCTION sync.audit_prune(keep interval, at_most bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$fn$
DECLARE
    pruned bigint;
BEGIN
    IF keep IS NULL OR keep < interval '30 days' THEN
        RAISE EXCEPTION 'audit records are kept for 30 days at least';
    END IF;
    DELETE FROM sync.audit WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM sync.audit WHERE at < now() - keep LIMIT at_most));
    GET DIAGNOSTICS pruned = ROW_COUNT;
    INSERT INTO sync.audit (id, at, caller, method, outcome, reason)
    VALUES (gen_random_uuid(), now(), session_user, 'audit_prune', 'PRUNED',
            format('%s records older than %s', pruned, keep));
    RETURN pruned;
END
$fn$;

CREATE FUNCTION auth.audit_prune(keep interval, at_most bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$fn$
DECLARE
    pruned bigint;
BEGIN
    IF keep IS NULL OR keep < interval '30 days' THEN
        RAISE EXCEPTION 'audit records are kept for 30 days at least';
    END IF;
    WITH gone AS (
        DELETE FROM auth.audit WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM auth.audit WHERE at < now() - keep LIMIT at_most))
        RETURNING workspace_id
    ), told AS (
        INSERT INTO auth.audit (id, actor, way, workspace_id, action, target)
        SELECT gen_random_uuid(), 'OPERATOR', 'COMMAND', workspace_id, 'audit.pruned',
               format('%s records older than %s', count(*), keep)
        FROM gone GROUP BY workspace_id
    )
    SELECT count(*) INTO pruned FROM gone;
    RETURN pruned;
END
$fn$;

DO $$
DECLARE
    s text;
BEGIN
    FOREACH s IN ARRAY ARRAY['auth', 'sync', 'vault'] LOOP
        EXECUTE format($sql$
            REVOKE EXECUTE ON FUNCTION %1$I.audit_prune(interval, bigint) FROM PUBLIC;
            GRANT EXECUTE ON FUNCTION %1$I.audit_prune(interval, bigint) TO latchkey_operator;
        $sql$, s);
    END LOOP;
END
$$;
