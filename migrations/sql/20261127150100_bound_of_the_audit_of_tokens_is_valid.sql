-- Reads the table once and lets others write to it meanwhile. Without it the next file would read the table
-- under a lock that stops every writer. It has no limit of time: the table may be large.
SET LOCAL lock_timeout = '3s';
SET LOCAL statement_timeout = 0;
ALTER TABLE vault.audit VALIDATE CONSTRAINT audit_bound;
