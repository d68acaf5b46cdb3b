-- no-transaction
-- The channels of which sync-svc's sweep may have to change something. Channels that wait for their
-- next sync are left out: with all accounts in order these are all channels, and the sweep read
-- each of them every 30 seconds. `channel_running` is for the previous version, and the next
-- release drops it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS channel_sweep ON sync.channel (sync_stage_started_at, id)
    WHERE sync_status IN ('ONGOING', 'ACTIVE')
      AND (sync_status = 'ONGOING' OR throttle_retry_after IS NOT NULL
           OR sync_stage NOT IN ('MESSAGE_LIST_FETCH_PENDING', 'CALENDAR_EVENT_LIST_FETCH_PENDING'));
