-- One row per service, which it writes when it is asked whether it can serve:
-- reading succeeds on a standby too, and with a commit that hangs.
CREATE TABLE auth.readiness (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    written_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE sync.readiness (LIKE auth.readiness INCLUDING ALL);
CREATE TABLE vault.readiness (LIKE auth.readiness INCLUDING ALL);

INSERT INTO auth.readiness DEFAULT VALUES;
INSERT INTO sync.readiness DEFAULT VALUES;
INSERT INTO vault.readiness DEFAULT VALUES;

GRANT UPDATE (written_at) ON auth.readiness TO latchkey_auth;
GRANT UPDATE (written_at) ON sync.readiness TO latchkey_sync;
GRANT UPDATE (written_at) ON vault.readiness TO latchkey_refresh;
