-- One schema and one group role per service. The roles cannot log in: the
-- operator grants them to the login roles that the services use.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['latchkey_auth', 'latchkey_sync', 'latchkey_refresh', 'latchkey_operator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- roles belong to the cluster: another database's migration was faster
            END;
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA auth;
CREATE SCHEMA sync;
CREATE SCHEMA vault;

GRANT USAGE ON SCHEMA auth TO latchkey_auth;
GRANT USAGE ON SCHEMA sync TO latchkey_sync;
GRANT USAGE ON SCHEMA vault TO latchkey_refresh;
