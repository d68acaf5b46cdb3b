-- What the verdict on a grant depends on. All of it is of one version: a new grant, or a
-- new access token, begins anew, also where an older sync-svc stores it.
ALTER TABLE vault.credential
    -- Refusals in a row that others than the person may take back, or whose reason is not
    -- known: how many, and since when.
    ADD COLUMN refused_version bigint,
    ADD COLUMN refused_count integer NOT NULL DEFAULT 0,
    ADD COLUMN refused_since timestamptz,
    -- The client id that the provider last gave tokens to.
    ADD COLUMN client_version bigint,
    ADD COLUMN client_id text,
    -- When a caller last forced a refresh: one a minute.
    ADD COLUMN forced_at timestamptz,
    -- What the provider asks of the person at the next sign-in (a claims challenge); of
    -- meaning while the grant is dead.
    ADD COLUMN claims text;
