-- One table of channels. Message channels and calendar channels had a table each, with
-- the same columns but three, so every statement on channels existed twice. Now `kind`
-- says what a channel synchronizes: 'MESSAGE' or 'CALENDAR'.
--
-- `sync.message_channel` and `sync.calendar_channel` become updatable views, through
-- which the previous version of sync-svc reads and writes.
SET LOCAL lock_timeout = '3s';

-- In the order of the transactions of sync-svc, which would otherwise deadlock with this
-- one: dropping a foreign key locks the table that it references.
LOCK TABLE sync.connected_account, sync.message_channel, sync.calendar_channel
    IN ACCESS EXCLUSIVE MODE;

ALTER TABLE sync.message_channel RENAME TO channel;
ALTER TABLE sync.channel RENAME CONSTRAINT message_channel_pkey TO channel_pkey;
ALTER INDEX sync.message_channel_running RENAME TO channel_running;

-- Constraints that depend on the kind replace those of message channels, and the trigger
-- `channel_defaults` replaces their defaults. Three columns are for messages only; they are
-- NULL for a calendar.
ALTER TABLE sync.channel
    ADD COLUMN kind text NOT NULL DEFAULT 'MESSAGE',
    DROP CONSTRAINT message_channel_account_id_key,
    DROP CONSTRAINT message_channel_account_id_fkey,
    DROP CONSTRAINT message_channel_sync_stage_check,
    DROP CONSTRAINT message_channel_visibility_check,
    DROP CONSTRAINT message_channel_contact_auto_creation_policy_check,
    DROP CONSTRAINT message_channel_message_folder_import_policy_check,
    ALTER COLUMN contact_auto_creation_policy DROP DEFAULT,
    ALTER COLUMN message_folder_import_policy DROP DEFAULT,
    ALTER COLUMN message_folder_import_policy DROP NOT NULL,
    ALTER COLUMN exclude_non_professional_emails DROP DEFAULT,
    ALTER COLUMN exclude_non_professional_emails DROP NOT NULL,
    ALTER COLUMN exclude_group_emails DROP DEFAULT,
    ALTER COLUMN exclude_group_emails DROP NOT NULL;
-- Every writer names the kind; the views name it for the previous version.
ALTER TABLE sync.channel ALTER COLUMN kind DROP DEFAULT;

INSERT INTO sync.channel
    (id, account_id, kind, sync_status, sync_stage, sync_stage_started_at, sync_cursor,
     synced_at, visibility, visibility_chosen_at, contact_auto_creation_policy,
     throttle_failure_count, throttle_retry_after, generation, last_failure, created_at)
SELECT id, account_id, 'CALENDAR', sync_status, sync_stage, sync_stage_started_at, sync_cursor,
       synced_at, visibility, visibility_chosen_at, contact_auto_creation_policy,
       throttle_failure_count, throttle_retry_after, generation, last_failure, created_at
FROM sync.calendar_channel;

-- The unique key prevents two channels of one kind for an account. The next migration
-- validates the other constraints.
ALTER TABLE sync.channel
    ADD CONSTRAINT channel_account_id_kind_key UNIQUE (account_id, kind),
    ADD CONSTRAINT channel_account_id_fkey FOREIGN KEY (account_id)
        REFERENCES sync.connected_account ON DELETE CASCADE NOT VALID,
    ADD CONSTRAINT channel_kind_check CHECK (kind IN ('MESSAGE', 'CALENDAR')) NOT VALID,
    ADD CONSTRAINT channel_sync_stage_check CHECK (
        sync_stage IN ('PENDING_CONFIGURATION', 'FAILED')
        OR (kind = 'MESSAGE' AND sync_stage IN (
            'MESSAGE_LIST_FETCH_PENDING', 'MESSAGE_LIST_FETCH_SCHEDULED',
            'MESSAGE_LIST_FETCH_ONGOING', 'MESSAGES_IMPORT_PENDING',
            'MESSAGES_IMPORT_SCHEDULED', 'MESSAGES_IMPORT_ONGOING'))
        OR (kind = 'CALENDAR' AND sync_stage IN (
            'CALENDAR_EVENT_LIST_FETCH_PENDING', 'CALENDAR_EVENT_LIST_FETCH_SCHEDULED',
            'CALENDAR_EVENT_LIST_FETCH_ONGOING', 'CALENDAR_EVENTS_IMPORT_PENDING',
            'CALENDAR_EVENTS_IMPORT_SCHEDULED', 'CALENDAR_EVENTS_IMPORT_ONGOING'))) NOT VALID,
    ADD CONSTRAINT channel_visibility_check CHECK (
        visibility IN ('METADATA', 'SHARE_EVERYTHING')
        OR (kind = 'MESSAGE' AND visibility = 'SUBJECT')) NOT VALID,
    ADD CONSTRAINT channel_contact_auto_creation_policy_check CHECK (
        contact_auto_creation_policy = 'NONE'
        OR (kind = 'MESSAGE' AND contact_auto_creation_policy IN ('SENT_AND_RECEIVED', 'SENT'))
        OR (kind = 'CALENDAR' AND contact_auto_creation_policy IN (
            'AS_PARTICIPANT_AND_ORGANIZER', 'AS_PARTICIPANT', 'AS_ORGANIZER'))) NOT VALID,
    ADD CONSTRAINT channel_message_folder_import_policy_check CHECK (
        message_folder_import_policy IN ('ALL_FOLDERS', 'SELECTED_FOLDERS')) NOT VALID,
    ADD CONSTRAINT channel_message_columns_check CHECK (
        num_nulls(message_folder_import_policy, exclude_non_professional_emails,
                  exclude_group_emails)
        = CASE kind WHEN 'MESSAGE' THEN 0 ELSE 3 END) NOT VALID;

-- The policies of a new channel unless its writer names them. The default of a column
-- cannot depend on the kind.
CREATE FUNCTION sync.channel_defaults() RETURNS trigger
    LANGUAGE plpgsql AS
$fn$
BEGIN
    IF NEW.kind = 'MESSAGE' THEN
        NEW.contact_auto_creation_policy := coalesce(NEW.contact_auto_creation_policy, 'SENT');
        NEW.message_folder_import_policy :=
            coalesce(NEW.message_folder_import_policy, 'ALL_FOLDERS');
        NEW.exclude_non_professional_emails := coalesce(NEW.exclude_non_professional_emails, true);
        NEW.exclude_group_emails := coalesce(NEW.exclude_group_emails, true);
    ELSE
        NEW.contact_auto_creation_policy :=
            coalesce(NEW.contact_auto_creation_policy, 'AS_PARTICIPANT_AND_ORGANIZER');
    END IF;
    RETURN NEW;
END
$fn$;

CREATE TRIGGER channel_defaults BEFORE INSERT ON sync.channel
    FOR EACH ROW EXECUTE FUNCTION sync.channel_defaults();

-- The compatibility views have the same columns as before.
CREATE OR REPLACE VIEW public."messageChannel" AS
    SELECT c.id,
           c.account_id AS "connectedAccountId",
           a.handle,
           'EMAIL'::text AS type,
           c.visibility,
           c.sync_status AS "syncStatus",
           c.sync_stage AS "syncStage",
           c.sync_stage_started_at AS "syncStageStartedAt",
           c.sync_cursor AS "syncCursor",
           c.synced_at AS "syncedAt",
           c.contact_auto_creation_policy AS "contactAutoCreationPolicy",
           c.message_folder_import_policy AS "messageFolderImportPolicy",
           c.exclude_non_professional_emails AS "excludeNonProfessionalEmails",
           c.exclude_group_emails AS "excludeGroupEmails",
           (c.sync_stage <> 'PENDING_CONFIGURATION') AS "isSyncEnabled",
           c.throttle_failure_count AS "throttleFailureCount",
           c.throttle_retry_after AS "throttleRetryAfter",
           c.created_at AS "createdAt",
           greatest(c.created_at, c.sync_stage_started_at, c.synced_at) AS "updatedAt"
    FROM sync.channel c
    JOIN sync.connected_account a ON a.id = c.account_id
    WHERE c.kind = 'MESSAGE';

CREATE OR REPLACE VIEW public."calendarChannel" AS
    SELECT c.id,
           c.account_id AS "connectedAccountId",
           a.handle,
           c.visibility,
           c.sync_status AS "syncStatus",
           c.sync_stage AS "syncStage",
           c.sync_stage_started_at AS "syncStageStartedAt",
           c.sync_cursor AS "syncCursor",
           c.synced_at AS "syncedAt",
           c.contact_auto_creation_policy AS "contactAutoCreationPolicy",
           (c.sync_stage <> 'PENDING_CONFIGURATION') AS "isSyncEnabled",
           c.throttle_failure_count AS "throttleFailureCount",
           c.throttle_retry_after AS "throttleRetryAfter",
           c.created_at AS "createdAt",
           greatest(c.created_at, c.sync_stage_started_at, c.synced_at) AS "updatedAt"
    FROM sync.channel c
    JOIN sync.connected_account a ON a.id = c.account_id
    WHERE c.kind = 'CALENDAR';

DROP TABLE sync.calendar_channel;

-- The columns of the tables in their order, and the kind.
CREATE VIEW sync.message_channel AS
    SELECT id, account_id, sync_status, sync_stage, sync_stage_started_at, sync_cursor,
           synced_at, visibility, contact_auto_creation_policy, message_folder_import_policy,
           exclude_non_professional_emails, exclude_group_emails, throttle_failure_count,
           throttle_retry_after, generation, last_failure, created_at, visibility_chosen_at,
           kind
    FROM sync.channel
    WHERE kind = 'MESSAGE'
    WITH CHECK OPTION;
ALTER VIEW sync.message_channel ALTER COLUMN kind SET DEFAULT 'MESSAGE';

CREATE VIEW sync.calendar_channel AS
    SELECT id, account_id, sync_status, sync_stage, sync_stage_started_at, sync_cursor,
           synced_at, visibility, contact_auto_creation_policy, throttle_failure_count,
           throttle_retry_after, generation, last_failure, created_at, visibility_chosen_at,
           kind
    FROM sync.channel
    WHERE kind = 'CALENDAR'
    WITH CHECK OPTION;
ALTER VIEW sync.calendar_channel ALTER COLUMN kind SET DEFAULT 'CALENDAR';

COMMENT ON VIEW sync.message_channel IS
    'The message channels of sync.channel, for the previous version of sync-svc and for '
    'statements of operators. sync-svc uses sync.channel.';
COMMENT ON VIEW sync.calendar_channel IS
    'The calendar channels of sync.channel, for the previous version of sync-svc and for '
    'statements of operators. sync-svc uses sync.channel.';

-- The table keeps what was granted on sync.message_channel.
GRANT SELECT, INSERT, UPDATE, DELETE ON sync.message_channel, sync.calendar_channel
    TO latchkey_sync;
