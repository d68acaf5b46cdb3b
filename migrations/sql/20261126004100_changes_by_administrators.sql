-- What administrators and operators change of a workspace: written in the
-- transaction of the change. Nothing secret: no link and no token.
CREATE TABLE auth.audit (
    -- UUID version 7.
    id           uuid PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- ADMINISTRATOR: a person, by a session. OPERATOR: a command. LINK: whoever
    -- followed a verification link.
    actor        text NOT NULL CHECK (actor IN ('ADMINISTRATOR', 'OPERATOR', 'LINK')),
    -- HTTP, PAGE, COMMAND.
    way          text NOT NULL,
    -- The administrator. Without foreign keys: records outlive what they tell of.
    user_id      uuid,
    session_id   uuid,
    -- Who was connected to the database: names the operator.
    db_role      text NOT NULL DEFAULT session_user,
    workspace_id uuid NOT NULL,
    -- Such as domain.approved or member.removed.
    action       text NOT NULL,
    -- The domain, the person, the invitation's id.
    target       text NOT NULL,
    trace_id     text,
    CHECK ((actor = 'ADMINISTRATOR') = (user_id IS NOT NULL))
);
CREATE INDEX audit_workspace_id ON auth.audit (workspace_id, id);
CREATE INDEX audit_at ON auth.audit (at);

-- auth-svc appends and reads, and can neither change nor take away.
GRANT SELECT, INSERT ON auth.audit TO latchkey_auth;

GRANT USAGE ON SCHEMA auth TO latchkey_operator;
GRANT SELECT ON auth.audit TO latchkey_operator;

-- The only way that records go: by people, never the younger ones, and told in
-- the workspaces that lost some.
CREATE FUNCTION auth.audit_prune(keep interval) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$fn$
DECLARE
    pruned bigint;
BEGIN
    IF keep IS NULL OR keep < interval '30 days' THEN
        RAISE EXCEPTION 'audit records are kept for 30 days at least';
    END IF;
    WITH gone AS (
        DELETE FROM auth.audit WHERE at < now() - keep RETURNING workspace_id
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
REVOKE EXECUTE ON FUNCTION auth.audit_prune(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth.audit_prune(interval) TO latchkey_operator;
