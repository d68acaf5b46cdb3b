-- Who was given which token, and who was refused (R36). Never a token.
CREATE TABLE vault.audit (
    -- UUID version 7: sorts by time, and a batch that is written twice is one.
    id             uuid PRIMARY KEY,
    at             timestamptz NOT NULL,
    -- SPIFFE id, DNS name or service account; empty where the caller has none.
    caller         text NOT NULL,
    -- Where it called from.
    peer           text,
    method         text NOT NULL,
    -- As far as they are known.
    account_id     uuid,
    workspace_id   uuid,
    provider       text,
    -- Scopes of the token that was given, separated by spaces.
    granted_scopes text,
    -- GIVEN, REVOKED, REFUSED; LOST tells of records that could not be kept.
    outcome        text NOT NULL,
    reason         text,
    trace_id       text
);
CREATE INDEX audit_account ON vault.audit (account_id, at) WHERE account_id IS NOT NULL;
CREATE INDEX audit_at ON vault.audit USING brin (at);

-- refresh-svc appends, and can neither read, change nor take away.
GRANT INSERT ON vault.audit TO latchkey_refresh;

GRANT USAGE ON SCHEMA vault TO latchkey_operator;
GRANT SELECT ON vault.audit TO latchkey_operator;

-- The only way that records go: by people, never the younger ones, and told.
CREATE FUNCTION vault.audit_prune(keep interval) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$fn$
DECLARE
    pruned bigint;
BEGIN
    IF keep IS NULL OR keep < interval '30 days' THEN
        RAISE EXCEPTION 'audit records are kept for 30 days at least';
    END IF;
    DELETE FROM vault.audit WHERE at < now() - keep;
    GET DIAGNOSTICS pruned = ROW_COUNT;
    INSERT INTO vault.audit (id, at, caller, method, outcome, reason)
    VALUES (gen_random_uuid(), now(), session_user, 'audit_prune', 'PRUNED',
            format('%s records older than %s', pruned, keep));
    RETURN pruned;
END
$fn$;
REVOKE EXECUTE ON FUNCTION vault.audit_prune(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vault.audit_prune(interval) TO latchkey_operator;
