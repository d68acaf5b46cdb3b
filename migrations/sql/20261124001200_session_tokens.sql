-- A session also ends where nobody used it for a while, and says why it ended.
ALTER TABLE auth.session
    ADD COLUMN idle_for   interval NOT NULL DEFAULT interval '14 days',
    -- "Firefox on Linux": never the whole header.
    ADD COLUMN user_agent text,
    -- SIGNED_OUT, ENDED_ELSEWHERE, SIGNED_OUT_EVERYWHERE, REPLACED.
    ADD COLUMN end_reason text;

-- A family: the refresh tokens that follow from one hand-over. Of a family one
-- token is good; a spent one that comes again ends it.
CREATE TABLE auth.refresh_family (
    id         uuid PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES auth.session ON DELETE CASCADE,
    -- COOKIE: out of reach of scripts; SCRIPT: a front end holds it (tokenPair).
    held_by    text NOT NULL CHECK (held_by IN ('COOKIE', 'SCRIPT')),
    -- Front end that it was handed to; none: any of the deployment.
    origin     text,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    -- REUSED, CODE_REUSED.
    end_reason text
);
CREATE INDEX refresh_family_session_id ON auth.refresh_family (session_id);

CREATE TABLE auth.refresh_token (
    -- SHA-256 of the token.
    token_hash bytea PRIMARY KEY,
    family_id  uuid NOT NULL REFERENCES auth.refresh_family ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    spent_at   timestamptz,
    -- With the spent token itself this makes the next one, so that two tabs that
    -- spend it at once get the same; erased when that next one is spent.
    next_salt  bytea,
    next_hash  bytea UNIQUE
);
CREATE INDEX refresh_token_family_id ON auth.refresh_token (family_id);
CREATE INDEX refresh_token_expires_at ON auth.refresh_token (expires_at);

-- One-time codes that hand a sign-in over to a front end on another origin.
CREATE TABLE auth.handover_code (
    -- SHA-256 of the code.
    code_hash  bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES auth.session ON DELETE CASCADE,
    -- The only origin that may redeem it.
    origin     text NOT NULL,
    -- S256 challenge of the front end that started; none: the browser's session
    -- cookie has to come along.
    challenge  text,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    -- What it was redeemed for; ends where the code comes again.
    family_id  uuid REFERENCES auth.refresh_family ON DELETE SET NULL
);
CREATE INDEX handover_code_session_id ON auth.handover_code (session_id);
CREATE INDEX handover_code_expires_at ON auth.handover_code (expires_at);
CREATE INDEX handover_code_family_id ON auth.handover_code (family_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON
    auth.refresh_family, auth.refresh_token, auth.handover_code
    TO latchkey_auth;
