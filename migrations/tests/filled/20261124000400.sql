INSERT INTO sync.connected_account (id, workspace_id, user_id, provider, issuer, subject, handle, last_authenticated_at)
VALUES ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002', 'google', 'https://accounts.google.com', '1', 'ada@acme.example', now());
INSERT INTO sync.message_channel (id, account_id, sync_status, sync_stage)
VALUES ('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-00000000000a', 'ONGOING', 'MESSAGE_LIST_FETCH_PENDING');
INSERT INTO sync.calendar_channel (id, account_id, sync_status, sync_stage)
VALUES ('00000000-0000-0000-0000-00000000000c', '00000000-0000-0000-0000-00000000000a', 'ONGOING', 'CALENDAR_EVENT_LIST_FETCH_PENDING');
