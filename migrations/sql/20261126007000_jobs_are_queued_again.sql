-- A job that no worker has taken is queued again under its own id, ever more rarely.
-- How often a job was queued, and when it may be queued again.
ALTER TABLE sync.sync_job
    ADD COLUMN times_queued integer NOT NULL DEFAULT 1,
    ADD COLUMN repeat_at timestamptz NOT NULL DEFAULT now() + interval '1 hour';

-- Jobs of starts that another start has replaced are taken away by age.
CREATE INDEX sync_job_created_at ON sync.sync_job (created_at);
