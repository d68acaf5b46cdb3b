-- The commands of `latchkey` are run by people, with a login role of their own, and not with the
-- role of a service: what they may do is granted here, and the audit names them (`db_role`).
-- No sealed token, no session's secret and no token of an invitation can be read.
GRANT SELECT (version, success) ON _sqlx_migrations TO latchkey_operator;

-- latchkey workspace
GRANT SELECT, INSERT, UPDATE (custom_domain, public_invite_hash, public_invite_enabled)
    ON auth.workspace TO latchkey_operator;
GRANT SELECT, INSERT, DELETE ON auth.approved_access_domain TO latchkey_operator;
GRANT UPDATE (approved_by) ON auth.approved_access_domain TO latchkey_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON auth.domain_claim TO latchkey_operator;
GRANT SELECT (id, workspace_id, email, expires_at, used_at, revoked_at, created_at),
      INSERT (token_hash, workspace_id, email, expires_at),
      UPDATE (revoked_at)
    ON auth.personal_invite TO latchkey_operator;
GRANT SELECT, UPDATE (role), DELETE ON auth.workspace_member TO latchkey_operator;
GRANT SELECT (id, email) ON auth.app_user TO latchkey_operator;
GRANT SELECT (user_id, email, email_verified) ON auth.identity TO latchkey_operator;
-- The sessions of a member who is removed.
GRANT SELECT (id, user_id, workspace_id, revoked_at), UPDATE (revoked_at, end_reason)
    ON auth.session TO latchkey_operator;
GRANT SELECT (session_id, ended_at), UPDATE (ended_at, end_reason)
    ON auth.refresh_family TO latchkey_operator;
GRANT SELECT (session_id, used_at), UPDATE (used_at) ON auth.handover_code TO latchkey_operator;
GRANT SELECT (event_id), INSERT ON auth.outbox TO latchkey_operator;
-- Not `at` and not `db_role`: the database writes when it was, and who.
GRANT INSERT (id, actor, way, user_id, session_id, workspace_id, action, target, trace_id)
    ON auth.audit TO latchkey_operator;

-- latchkey channels. Locking a row needs the privilege to update one of its columns, and these
-- two are labels.
GRANT SELECT, UPDATE (display_name) ON sync.connected_account TO latchkey_operator;
GRANT SELECT,
      UPDATE (sync_status, sync_stage, sync_stage_started_at, sync_cursor, synced_at,
              throttle_failure_count, throttle_retry_after, generation, last_failure)
    ON sync.channel TO latchkey_operator;
GRANT INSERT ON sync.sync_job TO latchkey_operator;
GRANT SELECT (event_id), INSERT ON sync.outbox TO latchkey_operator;
GRANT SELECT ON sync.grant_death TO latchkey_operator;
GRANT SELECT (account_id, authenticated_at, granted_scopes, last_refreshed_at,
              refresh_authenticated_at, refresh_scopes, refresh_token_key_id, auth_failed_at,
              access_token_expires_at, erased_at, not_before, lease_until, intent_version, version),
      UPDATE (handle)
    ON vault.credential TO latchkey_operator;
