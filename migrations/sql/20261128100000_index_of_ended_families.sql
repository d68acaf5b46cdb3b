-- no-transaction
-- The cleanup finds refresh families that have ended without reading the whole table.
CREATE INDEX CONCURRENTLY IF NOT EXISTS refresh_family_ended_at ON auth.refresh_family (ended_at)
    WHERE ended_at IS NOT NULL;
