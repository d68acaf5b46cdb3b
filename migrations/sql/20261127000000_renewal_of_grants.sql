-- When a grant is renewed whose refresh token ends at that time: at half of its remaining life,
-- and not within the first minute. NULL if the end is not known.
CREATE FUNCTION vault.renewal_of(ends timestamptz) RETURNS timestamptz
    LANGUAGE sql STRICT VOLATILE
    AS $$ SELECT clock_timestamp()
              + greatest((ends - clock_timestamp()) / 2, interval '1 minute') $$;
GRANT EXECUTE ON FUNCTION vault.renewal_of(timestamptz) TO latchkey_sync, latchkey_refresh;
