-- Names that operators of the replaced system know. No view gives a token: the
-- column says only whether one is held.
CREATE VIEW public."connectedAccount" AS
    SELECT a.id,
           a.handle,
           a.provider,
           CASE WHEN c.sealed_access_token IS NOT NULL THEN '[sealed]' END AS "accessToken",
           CASE WHEN c.sealed_refresh_token IS NOT NULL THEN '[sealed]' END AS "refreshToken",
           c.last_refreshed_at AS "lastCredentialsRefreshedAt",
           c.auth_failed_at AS "authFailedAt",
           c.granted_scopes AS scopes,
           a.user_id AS "accountOwnerId",
           a.workspace_id AS "workspaceId",
           a.connected_at AS "createdAt"
    FROM sync.connected_account a
    LEFT JOIN vault.credential c ON c.account_id = a.id
    WHERE a.disconnected_at IS NULL;

CREATE VIEW public."messageChannel" AS
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
           c.created_at AS "createdAt"
    FROM sync.message_channel c
    JOIN sync.connected_account a ON a.id = c.account_id;

CREATE VIEW public."calendarChannel" AS
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
           c.created_at AS "createdAt"
    FROM sync.calendar_channel c
    JOIN sync.connected_account a ON a.id = c.account_id;

-- Key and value settings of a workspace. One key has an effect:
-- `approvedAccessDomains`, a JSON array, a comma-separated list or a
-- PostgreSQL array of domains, which replaces the workspace's list.
CREATE TABLE auth.workspace_metadata (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id   uuid NOT NULL REFERENCES auth.workspace ON DELETE CASCADE,
    key            text NOT NULL,
    value          text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, key)
);
GRANT SELECT ON auth.workspace_metadata TO latchkey_auth;

CREATE FUNCTION auth.domains_of(value text) RETURNS text[]
    LANGUAGE sql IMMUTABLE AS
$fn$
    SELECT array_agg(DISTINCT d)
    FROM (
        SELECT lower(btrim(part, E' \t\r\n"')) AS d
        FROM regexp_split_to_table(btrim(value, E' \t\r\n[]{}'), ',') AS part
    ) AS parts
    WHERE d <> ''
$fn$;

CREATE VIEW public."workspaceMetadata" AS
    SELECT id, workspace_id AS "workspaceId", key, value, created_at AS "createdAt"
    FROM auth.workspace_metadata;

CREATE FUNCTION auth.workspace_metadata_write() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS
$fn$
DECLARE
    target uuid;
BEGIN
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        DELETE FROM auth.workspace_metadata WHERE id = OLD.id;
        IF OLD.key = 'approvedAccessDomains' THEN
            DELETE FROM auth.approved_access_domain WHERE workspace_id = OLD."workspaceId";
        END IF;
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
    END IF;

    target := NEW."workspaceId";
    IF target IS NULL THEN
        -- A deployment with one workspace need not name it.
        IF (SELECT count(*) FROM auth.workspace) <> 1 THEN
            RAISE EXCEPTION 'name the workspace in "workspaceId": this deployment has not exactly one';
        END IF;
        SELECT id INTO target FROM auth.workspace;
    END IF;

    INSERT INTO auth.workspace_metadata (id, workspace_id, key, value)
    VALUES (coalesce(NEW.id, gen_random_uuid()), target, NEW.key, NEW.value)
    ON CONFLICT (workspace_id, key) DO UPDATE SET value = excluded.value
    RETURNING id, workspace_id, created_at INTO NEW.id, NEW."workspaceId", NEW."createdAt";

    IF NEW.key = 'approvedAccessDomains' THEN
        DELETE FROM auth.approved_access_domain WHERE workspace_id = target;
        INSERT INTO auth.approved_access_domain (workspace_id, domain)
        SELECT target, d FROM unnest(auth.domains_of(NEW.value)) AS d;
    END IF;
    RETURN NEW;
END
$fn$;

CREATE TRIGGER workspace_metadata_write INSTEAD OF INSERT OR UPDATE OR DELETE ON public."workspaceMetadata"
    FOR EACH ROW EXECUTE FUNCTION auth.workspace_metadata_write();

-- The operator looks and sets the allowlist, and sees no sealed byte either.
GRANT SELECT ON public."connectedAccount", public."messageChannel", public."calendarChannel" TO latchkey_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON public."workspaceMetadata" TO latchkey_operator;
