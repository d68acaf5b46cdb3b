-- Who was taken out of a workspace, and when: what the person authenticated
-- before connects nothing there any more, however late it is told.
CREATE TABLE sync.removed_member (
    workspace_id uuid NOT NULL,
    user_id      uuid NOT NULL,
    removed_at   timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, user_id)
);
GRANT SELECT, INSERT, UPDATE ON sync.removed_member TO latchkey_sync;

-- Accounts that are to be disconnected: written by sync-svc in the transaction
-- that decides it, worked off by refresh-svc, which alone can revoke a grant. A
-- row goes when the credentials are erased.
CREATE TABLE vault.disconnect_request (
    account_id   uuid PRIMARY KEY,
    -- A grant that the person gave later stays.
    not_after    timestamptz NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    -- Nobody else tries before this.
    next_try_at  timestamptz NOT NULL DEFAULT now(),
    tries        integer NOT NULL DEFAULT 0
);
CREATE INDEX disconnect_request_next_try_at ON vault.disconnect_request (next_try_at);
GRANT SELECT, INSERT, UPDATE ON vault.disconnect_request TO latchkey_sync;
GRANT SELECT, UPDATE, DELETE ON vault.disconnect_request TO latchkey_refresh;
