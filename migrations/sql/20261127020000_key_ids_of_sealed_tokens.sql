-- The id of the key that sealed a token was only inside the token, and statements that
-- search by key cut it out of the bytes of every row. Now it has a column. PostgreSQL
-- computes the columns, so they are true for every writer, also for sync-svc and for
-- replicas of the previous version.
--
-- The columns are stored: adding them writes both tables and their indexes once more,
-- under ACCESS EXCLUSIVE. Until this file is done, requests that need the database fail
-- after their deadline, and refresh-svc answers valid tokens from its cache.
SET LOCAL lock_timeout = '3s';

-- The id of the key that sealed a token. '(none)' if the bytes are not an envelope: it is
-- not a valid key id. It never fails, because a failure would prevent the write.
--
-- An envelope (crates/sealing/src/envelope.rs) is the version 1, the length of the key id,
-- the key id, 32 bytes, and a ciphertext of at least 16 bytes. A long token is stored out of
-- line; its beginning is read once. PL/pgSQL keeps its plan for the whole session, while a
-- function in SQL would be planned again by every statement.
CREATE FUNCTION vault.sealing_key_id(sealed bytea) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT AS
$fn$
DECLARE
    head bytea := substr(sealed, 1, 34);
    id text;
BEGIN
    IF octet_length(sealed) > 50 THEN
        id := encode(substr(head, 3, get_byte(head, 1)), 'escape');
        IF get_byte(head, 0) = 1
            AND id ~ '^[A-Za-z0-9._-]+$'
            AND length(id) = get_byte(head, 1)
            AND octet_length(sealed) >= 50 + length(id)
        THEN
            RETURN id;
        END IF;
    END IF;
    RETURN '(none)';
END
$fn$;
GRANT EXECUTE ON FUNCTION vault.sealing_key_id(bytea) TO latchkey_sync, latchkey_refresh;

-- NULL if there is no token.
ALTER TABLE vault.credential
    ADD COLUMN access_token_key_id text
        GENERATED ALWAYS AS (vault.sealing_key_id(sealed_access_token)) STORED,
    ADD COLUMN refresh_token_key_id text
        GENERATED ALWAYS AS (vault.sealing_key_id(sealed_refresh_token)) STORED;
ALTER TABLE vault.replaced_grant
    ADD COLUMN refresh_token_key_id text
        GENERATED ALWAYS AS (vault.sealing_key_id(sealed_refresh_token)) STORED;
