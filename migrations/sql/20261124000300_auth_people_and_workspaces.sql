CREATE TABLE auth.workspace (
    id                         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name                       text NOT NULL CHECK (name <> ''),
    -- Host of the workspace in multi-domain mode: `acme` of acme.app.example.
    subdomain                  text UNIQUE CHECK (subdomain ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    -- Hash of the public invitation link; the link works only while it is on.
    public_invite_hash         bytea UNIQUE,
    public_invite_enabled      boolean NOT NULL DEFAULT false,
    created_at                 timestamptz NOT NULL DEFAULT now()
);

-- Domains whose people may join a workspace. Exact match, no subdomains.
CREATE TABLE auth.approved_access_domain (
    workspace_id uuid NOT NULL REFERENCES auth.workspace ON DELETE CASCADE,
    domain       text NOT NULL CHECK (domain = lower(domain) AND domain ~ '^[^@\s]+\.[^@\s]+$'),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, domain)
);

CREATE TABLE auth.app_user (
    id           uuid PRIMARY KEY,
    -- A label, never an identity key: two people may show the same address.
    email        text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX app_user_email ON auth.app_user (lower(email));

-- A person at a provider: issuer and subject, never an e-mail address.
CREATE TABLE auth.identity (
    id              uuid PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES auth.app_user ON DELETE CASCADE,
    provider        text NOT NULL,
    issuer          text NOT NULL,
    subject         text NOT NULL,
    email           text NOT NULL,
    -- Whether the provider vouches for the address.
    email_verified  boolean NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_sign_in_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (provider, issuer, subject)
);
CREATE INDEX identity_user_id ON auth.identity (user_id);

CREATE TABLE auth.workspace_member (
    workspace_id uuid NOT NULL REFERENCES auth.workspace ON DELETE CASCADE,
    user_id      uuid NOT NULL REFERENCES auth.app_user ON DELETE CASCADE,
    -- How the person came in: APPROVED_DOMAIN, PUBLIC_INVITE, PERSONAL_INVITE, ADDED.
    joined_by    text NOT NULL,
    joined_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX workspace_member_user_id ON auth.workspace_member (user_id);

CREATE TABLE auth.personal_invite (
    -- SHA-256 of the invitation's token: the database cannot show a usable link.
    token_hash   bytea PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES auth.workspace ON DELETE CASCADE,
    email        text NOT NULL,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE auth.session (
    id           uuid PRIMARY KEY,
    -- SHA-256 of the cookie's secret.
    secret_hash  bytea NOT NULL UNIQUE,
    user_id      uuid NOT NULL REFERENCES auth.app_user ON DELETE CASCADE,
    workspace_id uuid NOT NULL REFERENCES auth.workspace ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz
);
CREATE INDEX session_user_id ON auth.session (user_id);
CREATE INDEX session_expires_at ON auth.session (expires_at);

-- Login flows that were finished: the unique key makes a flow usable once.
CREATE TABLE auth.spent_flow (
    flow_id    uuid PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX spent_flow_expires_at ON auth.spent_flow (expires_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON
    auth.workspace, auth.approved_access_domain, auth.app_user, auth.identity,
    auth.workspace_member, auth.personal_invite, auth.session, auth.spent_flow
    TO latchkey_auth;
