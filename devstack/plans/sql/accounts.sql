-- The rows of the accounts with the numbers :first to :last. A person has one account, one session,
-- and a workspace with 19 others. Tables whose rows last for minutes or days get a share. A workspace is
-- inserted with the first of its accounts, so that nobody waits for who inserts the accounts before.
INSERT INTO auth.workspace (id, name, subdomain)
SELECT pg_temp.id('workspace', w), 'Workspace ' || w, 'w' || w
FROM generate_series((:first + 19) / 20 - (:first = 1)::int, :last / 20) AS w;

INSERT INTO auth.approved_access_domain (workspace_id, domain)
SELECT pg_temp.id('workspace', w), 'w' || w || '.example'
FROM generate_series((:first + 19) / 20 - (:first = 1)::int, :last / 20) AS w;

INSERT INTO auth.app_user (id, email, display_name)
SELECT pg_temp.id('user', n), pg_temp.address(n), 'Person ' || n
FROM generate_series(:first, :last) AS n;

INSERT INTO auth.identity (id, user_id, provider, issuer, subject, email, email_verified)
SELECT pg_temp.id('identity', n), pg_temp.id('user', n), 'google', 'https://accounts.google.com',
       pg_temp.subject(n), pg_temp.address(n), true
FROM generate_series(:first, :last) AS n;

INSERT INTO auth.workspace_member (workspace_id, user_id, joined_by)
SELECT pg_temp.id('workspace', n / 20), pg_temp.id('user', n), 'APPROVED_DOMAIN'
FROM generate_series(:first, :last) AS n;

INSERT INTO auth.personal_invite (token_hash, id, workspace_id, email, expires_at)
SELECT pg_temp.hash('invite', n), pg_temp.id('invite', n), pg_temp.id('workspace', n / 20),
       'invited' || n || '@example.com', now() + interval '7 days'
FROM generate_series(:first, :last, 20) AS n;

-- One of four sessions is known at the provider and has an ID token for signing out there.
INSERT INTO auth.session (id, secret_hash, user_id, workspace_id, expires_at, user_agent,
                          provider, issuer, provider_session, sealed_id_token)
SELECT pg_temp.id('session', n), pg_temp.hash('session', n), pg_temp.id('user', n),
       pg_temp.id('workspace', n / 20), now() + interval '30 days',
       'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0', 'google', 'https://accounts.google.com',
       CASE WHEN n % 4 = 0 THEN md5('sid' || n::text) END,
       CASE WHEN n % 4 = 0 THEN repeat(md5('id' || n::text), 32) END
FROM generate_series(:first, :last) AS n;

INSERT INTO auth.refresh_family (id, session_id, held_by)
SELECT pg_temp.id('family', n), pg_temp.id('session', n), 'COOKIE'
FROM generate_series(:first, :last, 2) AS n;

INSERT INTO auth.refresh_token (token_hash, family_id, expires_at)
SELECT pg_temp.hash('refresh', n), pg_temp.id('family', n), now() + interval '30 days'
FROM generate_series(:first, :last, 2) AS n;

INSERT INTO auth.handover_code (code_hash, session_id, origin, expires_at)
SELECT pg_temp.hash('code', n), pg_temp.id('session', n), 'https://app.acme.example',
       now() + interval '1 minute'
FROM generate_series(:first, :last, 10) AS n;

INSERT INTO auth.spent_flow (flow_id, expires_at)
SELECT pg_temp.id('flow', n), now() + interval '10 minutes'
FROM generate_series(:first, :last, 10) AS n;

INSERT INTO auth.logout_token (provider, issuer, token_id, provider_session, expires_at)
SELECT 'google', 'https://accounts.google.com', md5('logout' || n::text), md5('other' || n::text),
       now() + interval '1 hour'
FROM generate_series(:first, :last, 10) AS n;

INSERT INTO auth.audit (id, actor, way, workspace_id, action, target)
SELECT pg_temp.id('change', n), 'OPERATOR', 'COMMAND', pg_temp.id('workspace', n / 20),
       'member.added', pg_temp.address(n)
FROM generate_series(:first, :last, 20) AS n;

INSERT INTO sync.connected_account (id, workspace_id, user_id, provider, issuer, subject, handle,
                                    vouched_handle, last_authenticated_at)
SELECT pg_temp.id('account', n), pg_temp.id('workspace', n / 20), pg_temp.id('user', n),
       'google', 'https://accounts.google.com', pg_temp.subject(n), pg_temp.address(n),
       pg_temp.address(n), now() - interval '1 day'
FROM generate_series(:first, :last) AS n;

INSERT INTO sync.channel (id, account_id, kind, sync_status, sync_stage,
                          contact_auto_creation_policy, message_folder_import_policy,
                          exclude_non_professional_emails, exclude_group_emails, generation)
SELECT pg_temp.id(kind, n), pg_temp.id('account', n), kind, 'ACTIVE', stage, policy, folders,
       excluded, excluded, 1
FROM generate_series(:first, :last) AS n,
     (VALUES ('MESSAGE', 'MESSAGE_LIST_FETCH_PENDING', 'SENT', 'ALL_FOLDERS', true),
             ('CALENDAR', 'CALENDAR_EVENT_LIST_FETCH_PENDING', 'AS_PARTICIPANT_AND_ORGANIZER',
              NULL, NULL)) AS kinds (kind, stage, policy, folders, excluded);

INSERT INTO sync.sync_job (id, channel_id, generation)
SELECT pg_temp.id('job ' || kind, n), pg_temp.id(kind, n), 1
FROM generate_series(:first, :last) AS n, (VALUES ('MESSAGE'), ('CALENDAR')) AS kinds (kind);

INSERT INTO sync.inbox (event_id, consumer)
SELECT pg_temp.id('event', n), 'connect'
FROM generate_series(:first, :last) AS n;

INSERT INTO sync.grant_death (account_id, died_at, width, authenticated_at, of_refresh_token)
SELECT pg_temp.id('account', n), now() - interval '1 day', 2, now() - interval '2 days', true
FROM generate_series(:first, :last, 20) AS n;

INSERT INTO sync.removed_member (workspace_id, user_id, removed_at)
SELECT pg_temp.id('workspace', n / 20), pg_temp.id('former user', n), now() - interval '1 day'
FROM generate_series(:first, :last, 20) AS n;

INSERT INTO sync.audit (id, at, caller, method, account_id, workspace_id, provider, outcome)
SELECT pg_temp.id('audit', n), now(), 'spiffe://acme/pages', 'ListAccounts',
       pg_temp.id('account', n), pg_temp.id('workspace', n / 20), 'google', 'ANSWERED'
FROM generate_series(:first, :last, 10) AS n;

INSERT INTO vault.credential (account_id, workspace_id, user_id, provider, issuer, subject, handle,
                              vouched_handle, sealed_access_token, access_token_expires_at,
                              sealed_refresh_token, granted_scopes, authenticated_at)
SELECT pg_temp.id('account', n), pg_temp.id('workspace', n / 20), pg_temp.id('user', n),
       'google', 'https://accounts.google.com', pg_temp.subject(n), pg_temp.address(n),
       pg_temp.address(n), pg_temp.sealed('access', n, 40), now() + interval '1 hour',
       pg_temp.sealed('refresh', n, 20),
       ARRAY['openid', 'email', 'https://www.googleapis.com/auth/gmail.readonly',
             'https://www.googleapis.com/auth/calendar.events'],
       now() - interval '1 day'
FROM generate_series(:first, :last) AS n;

INSERT INTO vault.replaced_grant (account_id, sealed_refresh_token)
SELECT pg_temp.id('account', n), pg_temp.sealed('replaced', n, 20)
FROM generate_series(:first, :last, 20) AS n;

INSERT INTO vault.audit (id, at, caller, peer, method, account_id, workspace_id, provider,
                         granted_scopes, outcome)
SELECT pg_temp.id('audit', n), now(), 'spiffe://acme/mail-sync', '10.0.0.1',
       'GetAccessToken', pg_temp.id('account', n), pg_temp.id('workspace', n / 20), 'google',
       'openid email', 'ANSWERED'
FROM generate_series(:first, :last) AS n;
