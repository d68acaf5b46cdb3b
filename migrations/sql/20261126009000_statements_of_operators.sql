-- The statements that operators of the replaced system type, to the letter:
-- their columns, a list of domains that is the one in force, and a sentence for a
-- value that is no list. The views are replaced in place: what was granted on
-- them, and views of the operator's own that read them, stay. So the new column
-- is the last one.

CREATE OR REPLACE VIEW public."connectedAccount" AS
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
           a.connected_at AS "createdAt",
           greatest(a.connected_at, a.last_authenticated_at, c.last_refreshed_at,
                    c.auth_failed_at) AS "updatedAt"
    FROM sync.connected_account a
    LEFT JOIN vault.credential c ON c.account_id = a.id
    WHERE a.disconnected_at IS NULL;

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
    FROM sync.message_channel c
    JOIN sync.connected_account a ON a.id = c.account_id;

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
    FROM sync.calendar_channel c
    JOIN sync.connected_account a ON a.id = c.account_id;

ALTER TABLE auth.workspace_metadata ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
UPDATE auth.workspace_metadata SET updated_at = created_at;

-- `approvedAccessDomains` shows the domains that are let in, whoever approved them:
-- an UPDATE or a DELETE finds a row also where none was inserted.
CREATE OR REPLACE VIEW public."workspaceMetadata" AS
    SELECT id, workspace_id AS "workspaceId", key, value, created_at AS "createdAt",
           updated_at AS "updatedAt"
    FROM auth.workspace_metadata
    WHERE key <> 'approvedAccessDomains'
    UNION ALL
    SELECT coalesce(m.id, w.id), w.id, 'approvedAccessDomains'::text,
           coalesce(list.domains, '[]'), coalesce(m.created_at, list.first_at),
           greatest(m.updated_at, list.last_at)
    FROM auth.workspace w
    LEFT JOIN auth.workspace_metadata m
        ON m.workspace_id = w.id AND m.key = 'approvedAccessDomains'
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(d.domain ORDER BY d.domain)::text AS domains,
               min(d.created_at) AS first_at, max(d.created_at) AS last_at
        FROM auth.approved_access_domain d
        WHERE d.workspace_id = w.id
    ) AS list
    WHERE m.id IS NOT NULL OR list.domains IS NOT NULL;

-- A JSON array, a comma-separated list or a PostgreSQL array of domains, each in
-- its one form; what is none of these is refused.
CREATE FUNCTION auth.domain_list(value text) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS
$fn$
DECLARE
    label CONSTANT text := '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?';
    part text;
    domain text;
    domains text[] := '{}';
BEGIN
    IF value ~ '^\s*(\[\s*\]|\{\s*\})\s*$' THEN
        RETURN domains;
    END IF;
    FOR part IN
        SELECT btrim(p, E' \t\r\n"')
        FROM regexp_split_to_table(btrim(value, E' \t\r\n[]{}'), ',') AS p
    LOOP
        CONTINUE WHEN part = '';
        domain := auth.domain_ascii(part);
        IF (length(domain) <= 253 AND domain ~ ('^' || label || '(\.' || label || ')+$'))
            IS NOT TRUE
        THEN
            RAISE EXCEPTION USING
                ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('"value" must be a list of domains such as '
                    || '["company.com", "company.co"]: %s is not a domain', to_jsonb(part));
        END IF;
        domains := domains || domain;
    END LOOP;
    IF cardinality(domains) = 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = '"value" must be a list of domains such as ["company.com", "company.co"]; '
                || '[] lets nobody in by their domain';
    END IF;
    RETURN ARRAY(SELECT DISTINCT d FROM unnest(domains) AS d ORDER BY d);
END
$fn$;

CREATE OR REPLACE FUNCTION auth.workspace_metadata_write() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$fn$
DECLARE
    target uuid;
    domains text[];
    moved boolean := false;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        moved := (OLD."workspaceId", OLD.key) IS DISTINCT FROM (NEW."workspaceId", NEW.key);
    END IF;
    IF TG_OP = 'DELETE' OR moved THEN
        DELETE FROM auth.workspace_metadata
        WHERE workspace_id = OLD."workspaceId" AND key = OLD.key;
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
    -- One writer of a workspace's list after the other.
    PERFORM FROM auth.workspace WHERE id = target FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no workspace %: `auth-svc workspace list` shows those that there are',
            target USING ERRCODE = 'foreign_key_violation';
    END IF;

    IF NEW.key = 'approvedAccessDomains' THEN
        domains := auth.domain_list(NEW.value);
        NEW.value := to_jsonb(domains)::text;
        DELETE FROM auth.approved_access_domain
        WHERE workspace_id = target AND domain <> ALL (domains);
        INSERT INTO auth.approved_access_domain (workspace_id, domain)
        SELECT target, d FROM unnest(domains) AS d
        ON CONFLICT DO NOTHING;
    END IF;

    IF TG_OP = 'UPDATE' AND NEW."updatedAt" IS NOT DISTINCT FROM OLD."updatedAt" THEN
        NEW."updatedAt" := now();
    END IF;
    -- A second INSERT replaces the value; id and time of the first stay.
    INSERT INTO auth.workspace_metadata AS m (id, workspace_id, key, value, created_at, updated_at)
    VALUES (coalesce(NEW.id, gen_random_uuid()), target, NEW.key, NEW.value,
            coalesce(NEW."createdAt", now()), coalesce(NEW."updatedAt", now()))
    ON CONFLICT (workspace_id, key) DO UPDATE
        SET value = excluded.value,
            updated_at = excluded.updated_at,
            id = CASE WHEN TG_OP = 'UPDATE' THEN excluded.id ELSE m.id END,
            created_at = CASE WHEN TG_OP = 'UPDATE' THEN excluded.created_at ELSE m.created_at END
    RETURNING m.id, m.workspace_id, m.created_at, m.updated_at
        INTO NEW.id, NEW."workspaceId", NEW."createdAt", NEW."updatedAt";
    RETURN NEW;
END
$fn$;

DROP FUNCTION auth.domains_of(text);

-- Everybody may use the schema by default; a hardened database takes that away.
GRANT USAGE ON SCHEMA public TO latchkey_operator;
