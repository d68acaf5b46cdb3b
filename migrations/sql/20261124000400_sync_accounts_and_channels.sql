CREATE TABLE sync.connected_account (
    id                  uuid PRIMARY KEY,
    workspace_id        uuid NOT NULL,
    user_id             uuid NOT NULL,
    provider            text NOT NULL,
    issuer              text NOT NULL,
    subject             text NOT NULL,
    handle              text NOT NULL,
    display_name        text NOT NULL DEFAULT '',
    -- Of the newest event that was applied; an older one changes nothing.
    last_authenticated_at timestamptz NOT NULL,
    connected_at        timestamptz NOT NULL DEFAULT now(),
    -- Set by account.disconnected; the row stays so that ids stay.
    disconnected_at     timestamptz,
    -- The key that makes an account single.
    UNIQUE (workspace_id, user_id, provider, issuer, subject)
);
CREATE INDEX connected_account_handle ON sync.connected_account (workspace_id, provider, lower(handle));
CREATE INDEX connected_account_page ON sync.connected_account (workspace_id, connected_at, id);

CREATE TYPE sync.sync_status AS ENUM (
    'NOT_SYNCED', 'ONGOING', 'ACTIVE', 'FAILED_INSUFFICIENT_PERMISSIONS', 'FAILED_UNKNOWN'
);

CREATE TABLE sync.message_channel (
    id                     uuid PRIMARY KEY,
    account_id             uuid NOT NULL UNIQUE REFERENCES sync.connected_account ON DELETE CASCADE,
    sync_status            sync.sync_status NOT NULL,
    sync_stage             text NOT NULL CHECK (sync_stage IN (
        'PENDING_CONFIGURATION',
        'MESSAGE_LIST_FETCH_PENDING', 'MESSAGE_LIST_FETCH_SCHEDULED', 'MESSAGE_LIST_FETCH_ONGOING',
        'MESSAGES_IMPORT_PENDING', 'MESSAGES_IMPORT_SCHEDULED', 'MESSAGES_IMPORT_ONGOING',
        'FAILED')),
    sync_stage_started_at  timestamptz NOT NULL DEFAULT now(),
    sync_cursor            text NOT NULL DEFAULT '',
    synced_at              timestamptz,
    visibility             text NOT NULL DEFAULT 'SHARE_EVERYTHING'
        CHECK (visibility IN ('METADATA', 'SUBJECT', 'SHARE_EVERYTHING')),
    contact_auto_creation_policy text NOT NULL DEFAULT 'SENT'
        CHECK (contact_auto_creation_policy IN ('SENT_AND_RECEIVED', 'SENT', 'NONE')),
    message_folder_import_policy text NOT NULL DEFAULT 'ALL_FOLDERS'
        CHECK (message_folder_import_policy IN ('ALL_FOLDERS', 'SELECTED_FOLDERS')),
    exclude_non_professional_emails boolean NOT NULL DEFAULT true,
    exclude_group_emails   boolean NOT NULL DEFAULT true,
    throttle_failure_count integer NOT NULL DEFAULT 0,
    throttle_retry_after   timestamptz,
    -- Grows with every start: connection, repair. One first job for each.
    generation             integer NOT NULL DEFAULT 0,
    last_failure           text,
    created_at             timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sync.calendar_channel (
    id                     uuid PRIMARY KEY,
    account_id             uuid NOT NULL UNIQUE REFERENCES sync.connected_account ON DELETE CASCADE,
    sync_status            sync.sync_status NOT NULL,
    sync_stage             text NOT NULL CHECK (sync_stage IN (
        'PENDING_CONFIGURATION',
        'CALENDAR_EVENT_LIST_FETCH_PENDING', 'CALENDAR_EVENT_LIST_FETCH_SCHEDULED', 'CALENDAR_EVENT_LIST_FETCH_ONGOING',
        'CALENDAR_EVENTS_IMPORT_PENDING', 'CALENDAR_EVENTS_IMPORT_SCHEDULED', 'CALENDAR_EVENTS_IMPORT_ONGOING',
        'FAILED')),
    sync_stage_started_at  timestamptz NOT NULL DEFAULT now(),
    sync_cursor            text NOT NULL DEFAULT '',
    synced_at              timestamptz,
    visibility             text NOT NULL DEFAULT 'SHARE_EVERYTHING'
        CHECK (visibility IN ('METADATA', 'SHARE_EVERYTHING')),
    contact_auto_creation_policy text NOT NULL DEFAULT 'AS_PARTICIPANT_AND_ORGANIZER'
        CHECK (contact_auto_creation_policy IN ('AS_PARTICIPANT_AND_ORGANIZER', 'AS_PARTICIPANT', 'AS_ORGANIZER', 'NONE')),
    throttle_failure_count integer NOT NULL DEFAULT 0,
    throttle_retry_after   timestamptz,
    generation             integer NOT NULL DEFAULT 0,
    last_failure           text,
    created_at             timestamptz NOT NULL DEFAULT now()
);

-- The sweep over channels that nobody moves.
CREATE INDEX message_channel_running ON sync.message_channel (sync_stage_started_at)
    WHERE sync_status IN ('ONGOING', 'ACTIVE');
CREATE INDEX calendar_channel_running ON sync.calendar_channel (sync_stage_started_at)
    WHERE sync_status IN ('ONGOING', 'ACTIVE');

-- Jobs that were queued; the unique key makes a start queue one.
CREATE TABLE sync.sync_job (
    id         uuid PRIMARY KEY,
    channel_id uuid NOT NULL,
    generation integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (channel_id, generation)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON
    sync.connected_account, sync.message_channel, sync.calendar_channel, sync.sync_job
    TO latchkey_sync;
