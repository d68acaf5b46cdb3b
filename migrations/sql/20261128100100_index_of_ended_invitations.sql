-- no-transaction
-- The cleanup finds invitations that were used, revoked or have expired without reading the whole table.
CREATE INDEX CONCURRENTLY IF NOT EXISTS personal_invite_ended_at
    ON auth.personal_invite (least(used_at, revoked_at, expires_at));
