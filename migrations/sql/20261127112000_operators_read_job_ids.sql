-- `latchkey channels start` stores the jobs of all channels of an account with one statement,
-- which returns the ids of those that were stored (INSERT … RETURNING id).
GRANT SELECT (id) ON sync.sync_job TO latchkey_operator;
