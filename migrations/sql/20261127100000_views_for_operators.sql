-- What `latchkey doctor` reads. People could not see why a sign-in or a mailbox does not
-- work with the role that they have: they read the compatibility views and the audit only.
-- These views are for latchkey_operator. None has a token, a hash of one, or a payload.
CREATE SCHEMA operators;
GRANT USAGE ON SCHEMA operators TO latchkey_operator;

-- Events that are not published yet. Empty while the broker answers.
CREATE VIEW operators.outbox AS
    SELECT 'auth-svc'::text AS service, routing_key, created_at FROM auth.outbox
    UNION ALL
    SELECT 'sync-svc', routing_key, created_at FROM sync.outbox
    UNION ALL
    SELECT 'refresh-svc', routing_key, created_at FROM vault.outbox;

CREATE VIEW operators.workspace AS
    SELECT w.id, w.name, w.subdomain, w.custom_domain, w.public_invite_enabled,
           ARRAY(SELECT d.domain FROM auth.approved_access_domain d
                 WHERE d.workspace_id = w.id ORDER BY d.domain) AS domains
    FROM auth.workspace w;

-- A person at a provider. `email` is the address that the provider showed last.
CREATE VIEW operators.identity AS
    SELECT provider, issuer, user_id, email, email_verified, created_at, last_sign_in_at
    FROM auth.identity;

CREATE VIEW operators.member AS
    SELECT m.workspace_id, m.user_id, u.email, m.role, m.joined_by, m.joined_at,
           m.connects_at_sign_in
    FROM auth.workspace_member m
    JOIN auth.app_user u ON u.id = m.user_id;

-- Invitations of one address, used or not.
CREATE VIEW operators.invitation AS
    SELECT id, workspace_id, email, expires_at, used_at, revoked_at FROM auth.personal_invite;

-- Accounts with the state of their grants. `client_id` is NULL until the provider gave tokens
-- of this version to a client. Columns of the grant are NULL if there is none.
CREATE VIEW operators.account AS
    SELECT a.id, a.workspace_id, a.user_id, a.provider, a.handle, a.connected_at,
           a.disconnected_at, c.granted_scopes, c.last_refreshed_at, c.access_token_expires_at,
           c.auth_failed_at, c.erased_at, c.failure_class, c.failure_count, c.retry_after,
           CASE WHEN c.client_version = c.version THEN c.client_id END AS client_id,
           c.access_token_key_id, c.refresh_token_key_id
    FROM sync.connected_account a
    LEFT JOIN vault.credential c ON c.account_id = a.id;

CREATE VIEW operators.channel AS
    SELECT id, account_id, kind, sync_status::text AS sync_status, sync_stage,
           sync_stage_started_at, synced_at, throttle_failure_count, throttle_retry_after,
           last_failure
    FROM sync.channel;

-- How many refresh tokens each sealing key sealed.
CREATE VIEW operators.sealing_key AS
    SELECT key_id, count(*) AS refresh_tokens
    FROM (SELECT refresh_token_key_id AS key_id FROM vault.credential
          UNION ALL
          SELECT refresh_token_key_id FROM vault.replaced_grant) AS sealed
    WHERE key_id IS NOT NULL
    GROUP BY key_id;

GRANT SELECT ON ALL TABLES IN SCHEMA operators TO latchkey_operator;
