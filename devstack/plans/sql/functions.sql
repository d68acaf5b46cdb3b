-- Values of the rows of an account, from its number. They are inlined, because everything in them
-- is immutable. An id sorts by its number, as a UUID of version 7 sorts by time.
CREATE FUNCTION pg_temp.id(kind text, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$SELECT overlay(overlay(md5(kind || number::text)
                       PLACING lpad(to_hex(1767225600000 + number), 12, '0') || '7' FROM 1)
               PLACING '8' FROM 17)::uuid$$;
CREATE FUNCTION pg_temp.address(number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$SELECT 'person' || number::text || '@w' || (number / 20)::text || '.example'$$;
CREATE FUNCTION pg_temp.subject(number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$SELECT (100000000000000000000 + number)::text$$;
CREATE FUNCTION pg_temp.hash(what text, number bigint) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$SELECT sha256(decode(md5(what || number::text), 'hex'))$$;
-- An envelope that nobody can open. Its first bytes, :header, name the key of the stack, because
-- refresh-svc seals the tokens of other keys again.
CREATE FUNCTION pg_temp.sealed(what text, number bigint, size int) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$SELECT '\x:header'::bytea || decode(repeat(md5(what || number::text), size), 'hex')$$;
-- Triggers and foreign keys would be checked for each row.
SET session_replication_role = replica;
SET jit = off;
