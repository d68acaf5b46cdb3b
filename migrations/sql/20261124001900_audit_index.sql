-- A row of the audit is written for every token that is given, and read when
-- somebody asks what happened. A B-tree by account cost more than the row itself;
-- this one costs next to nothing, is a hundredth as large, and leads to the few
-- blocks in which an account is within a time (PostgreSQL 14 and later).
DROP INDEX vault.audit_account;
DROP INDEX vault.audit_at;
CREATE INDEX audit_at_and_account ON vault.audit
    USING brin (at, account_id uuid_bloom_ops)
    WITH (pages_per_range = 32, autosummarize = on);
