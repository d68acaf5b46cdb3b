-- When autovacuum runs (docs/operate.md, "Tables that are emptied all the time"). The defaults wait until a
-- fifth of the rows is dead, which is right for tables whose rows stay.

-- Queues: a row lives for milliseconds. After a backlog a fifth would be hundreds of thousands of rows, which
-- the relay reads past. Giving the end of the file back needs a lock that stops every sign-in, for nothing: the
-- file grows again.
ALTER TABLE auth.outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
ALTER TABLE sync.outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
ALTER TABLE vault.outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);

-- Written once, deleted when they are old: the dead rows are at the old end of the table and its indexes.
ALTER TABLE sync.inbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    vacuum_truncate = off);
ALTER TABLE auth.spent_flow SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    vacuum_truncate = off);
ALTER TABLE auth.handover_code SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    vacuum_truncate = off);
ALTER TABLE auth.refresh_token SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    vacuum_truncate = off);

-- Changed in place again and again: room in each page lets a new version of a row stay in it, so that no index
-- has to be written. This holds for pages that are written from now on.
ALTER TABLE auth.session SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE vault.credential SET (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02);

-- The cleanup skips rows that another replica is deleting (FOR UPDATE SKIP LOCKED), which needs this right.
GRANT UPDATE (received_at) ON sync.inbox TO latchkey_sync;
