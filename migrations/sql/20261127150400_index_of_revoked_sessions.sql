-- no-transaction
-- The cleanup finds sessions that were signed out of without reading the whole table.
CREATE INDEX CONCURRENTLY IF NOT EXISTS session_revoked_at ON auth.session (revoked_at)
    WHERE revoked_at IS NOT NULL;
