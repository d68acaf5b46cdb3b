-- Who may administer a workspace: the first person to join it, and whom an
-- administrator or the operator makes one.
ALTER TABLE auth.workspace_member
    ADD COLUMN role text NOT NULL DEFAULT 'MEMBER' CHECK (role IN ('ADMIN', 'MEMBER'));
UPDATE auth.workspace_member m SET role = 'ADMIN'
FROM (SELECT DISTINCT ON (workspace_id) workspace_id, user_id
      FROM auth.workspace_member ORDER BY workspace_id, joined_at, user_id) AS first
WHERE m.workspace_id = first.workspace_id AND m.user_id = first.user_id;

-- On whose word the domain's people are let in.
ALTER TABLE auth.approved_access_domain
    ADD COLUMN approved_by text NOT NULL DEFAULT 'OPERATOR'
        CHECK (approved_by IN ('OPERATOR', 'DNS', 'EMAIL'));

-- The workspace's own host, proven; nothing here is ever taken from a request.
ALTER TABLE auth.workspace
    ADD COLUMN custom_domain text UNIQUE
        CHECK (custom_domain ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$');

-- What a workspace says of a domain and has not proven yet. Nobody comes in by
-- such a row. It binds its record value and its token to workspace and domain;
-- proving deletes it, so each works once.
CREATE TABLE auth.domain_claim (
    workspace_id           uuid NOT NULL REFERENCES auth.workspace ON DELETE CASCADE,
    -- ACCESS: whose people may join. HOST: where the workspace is served.
    purpose                text NOT NULL CHECK (purpose IN ('ACCESS', 'HOST')),
    domain                 text NOT NULL CHECK (domain = lower(domain) AND domain ~ '^[^@\s]+\.[^@\s]+$'),
    -- Value of the TXT record `_latchkey.<domain>`: public, and of no use to
    -- another workspace.
    record_value           text NOT NULL UNIQUE,
    -- SHA-256 of the token in the verification link.
    email_token_hash       bytea UNIQUE,
    email                  text,
    email_token_expires_at timestamptz,
    created_at             timestamptz NOT NULL DEFAULT now(),
    expires_at             timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, purpose, domain),
    CHECK (purpose = 'ACCESS' OR email_token_hash IS NULL),
    CHECK ((email_token_hash IS NULL) = (email_token_expires_at IS NULL))
);
CREATE INDEX domain_claim_expires_at ON auth.domain_claim (expires_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON auth.domain_claim TO latchkey_auth;

-- Invitations are listed and withdrawn by an id that is no secret.
ALTER TABLE auth.personal_invite
    ADD COLUMN id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    ADD COLUMN revoked_at timestamptz;
CREATE INDEX personal_invite_workspace_id ON auth.personal_invite (workspace_id, created_at);
