-- A service of a new release must not start on the schema of the previous one. On
-- Kubernetes `latchkey-migrate wait` delays it until its migrations are applied, with the
-- service's own role, which needs to know which ones are.
GRANT SELECT (version, success) ON _sqlx_migrations
    TO latchkey_auth, latchkey_sync, latchkey_refresh;
