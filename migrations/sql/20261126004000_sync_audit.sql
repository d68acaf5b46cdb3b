-- Who was answered what by the account service, and who was refused (R36): the
-- columns of vault.audit, which the same code writes.
CREATE TABLE sync.audit (
    -- UUID version 7: sorts by time, and a batch that is written twice is one.
    id             uuid PRIMARY KEY,
    at             timestamptz NOT NULL,
    -- SPIFFE id, DNS name or service account; empty if the caller has none.
    caller         text NOT NULL,
    -- Where it called from.
    peer           text,
    method         text NOT NULL,
    -- As far as they are known.
    account_id     uuid,
    workspace_id   uuid,
    provider       text,
    -- Of tokens only: empty here.
    granted_scopes text,
    -- ANSWERED, REFUSED; LOST tells of records that could not be kept.
    outcome        text NOT NULL,
    reason         text,
    trace_id       text
);
CREATE INDEX audit_at_and_workspace ON sync.audit
    USING brin (at, workspace_id uuid_bloom_ops)
    WITH (pages_per_range = 32, autosummarize = on);

-- sync-svc appends, and can neither read, change nor take away.
GRANT INSERT ON sync.audit TO latchkey_sync;

GRANT USAGE ON SCHEMA sync TO latchkey_operator;
GRANT SELECT ON sync.audit TO latchkey_operator;

-- The only way that records go: by people, never the younger ones, and told.
CREATE FUNCTION sync.audit_prune(keep interval) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$fn$
DECLARE
    pruned bigint;
BEGIN
    IF keep IS NULL OR keep < interval '30 days' THEN
        RAISE EXCEPTION 'audit records are kept for 30 days at least';
    END IF;
    DELETE FROM sync.audit WHERE at < now() - keep;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    INSERT INTO sync.audit (id, at, caller, method, outcome, reason)
    VALUES (gen_random_uuid(), now(), session_user, 'audit_prune', 'PRUNED',
            format('%s records older than %s', pruned, keep));
    RETURN pruned;
END
$fn$;
REVOKE EXECUTE ON FUNCTION sync.audit_prune(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sync.audit_prune(interval) TO latchkey_operator;
