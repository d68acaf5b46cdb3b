-- `bücher.example` and `xn--bcher-kva.example` are one domain: it is stored in
-- the ASCII form, whoever writes it.

-- Punycode of a label (RFC 3492 section 6.3), without `xn--`.
CREATE FUNCTION auth.punycode(label text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog AS
$fn$
DECLARE
    digits CONSTANT text := 'abcdefghijklmnopqrstuvwxyz0123456789';
    points bigint[] := ARRAY(SELECT ascii(substr(label, i, 1))
                             FROM generate_series(1, length(label)) AS i ORDER BY i);
    output text := regexp_replace(label, '[^\x01-\x7f]', '', 'g');
    basic bigint := length(output);
    handled bigint := basic;
    n bigint := 128;
    delta bigint := 0;
    bias bigint := 72;
    point bigint;
    next_n bigint;
    q bigint;
    k bigint;
    t bigint;
BEGIN
    IF basic > 0 THEN
        output := output || '-';
    END IF;
    WHILE handled < cardinality(points) LOOP
        SELECT min(p) INTO next_n FROM unnest(points) AS p WHERE p >= n;
        delta := delta + (next_n - n) * (handled + 1);
        n := next_n;
        FOREACH point IN ARRAY points LOOP
            IF point < n THEN
                delta := delta + 1;
            ELSIF point = n THEN
                q := delta;
                k := 36;
                LOOP
                    t := least(greatest(k - bias, 1), 26);
                    EXIT WHEN q < t;
                    output := output || substr(digits, (t + (q - t) % (36 - t) + 1)::int, 1);
                    q := (q - t) / (36 - t);
                    k := k + 36;
                END LOOP;
                output := output || substr(digits, (q + 1)::int, 1);
                delta := CASE WHEN handled = basic THEN delta / 700 ELSE delta / 2 END;
                delta := delta + delta / (handled + 1);
                k := 0;
                WHILE delta > 455 LOOP
                    delta := delta / 35;
                    k := k + 36;
                END LOOP;
                bias := k + 36 * delta / (delta + 38);
                delta := 0;
                handled := handled + 1;
            END IF;
        END LOOP;
        delta := delta + 1;
        n := n + 1;
    END LOOP;
    RETURN output;
END
$fn$;

-- The ASCII form of a domain. The services apply the whole of UTS #46; this is
-- for what is written by SQL, and for what was stored before.
CREATE FUNCTION auth.domain_ascii(domain text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog AS
$fn$
DECLARE
    folded text := lower(domain);
BEGIN
    IF folded ~ '^[\x01-\x7f]*$' THEN
        RETURN folded;
    END IF;
    folded := normalize(folded, NFKC);
    BEGIN
        -- The database's own locale may not know letters beyond ASCII.
        folded := lower(folded COLLATE "und-x-icu");
    EXCEPTION WHEN undefined_object THEN
        NULL;
    END;
    folded := translate(normalize(folded, NFKC), U&'\3002', '.');
    RETURN (
        SELECT string_agg(
                   CASE WHEN label ~ '^[\x01-\x7f]*$' THEN label
                        ELSE 'xn--' || auth.punycode(label) END,
                   '.' ORDER BY position)
        FROM unnest(string_to_array(folded, '.')) WITH ORDINALITY AS parts (label, position)
    );
END
$fn$;

CREATE OR REPLACE FUNCTION auth.domains_of(value text) RETURNS text[]
    LANGUAGE sql IMMUTABLE AS
$fn$
    SELECT array_agg(DISTINCT auth.domain_ascii(d))
    FROM (
        SELECT btrim(part, E' \t\r\n"') AS d
        FROM regexp_split_to_table(btrim(value, E' \t\r\n[]{}'), ',') AS part
    ) AS parts
    WHERE d <> ''
$fn$;

CREATE FUNCTION auth.domain_in_one_form() RETURNS trigger
    LANGUAGE plpgsql AS
$fn$
BEGIN
    NEW.domain := auth.domain_ascii(NEW.domain);
    RETURN NEW;
END
$fn$;

INSERT INTO auth.approved_access_domain (workspace_id, domain, created_at, approved_by)
SELECT workspace_id, auth.domain_ascii(domain), created_at, approved_by
FROM auth.approved_access_domain
WHERE domain ~ '[^\x01-\x7f]'
ON CONFLICT DO NOTHING;
DELETE FROM auth.approved_access_domain WHERE domain ~ '[^\x01-\x7f]';

CREATE TRIGGER approved_access_domain_one_form
    BEFORE INSERT OR UPDATE OF domain ON auth.approved_access_domain
    FOR EACH ROW EXECUTE FUNCTION auth.domain_in_one_form();

-- Addresses: each has one `@`.
CREATE FUNCTION auth.address_ascii(address text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT AS
$fn$
    SELECT split_part(address, '@', 1) || '@' || auth.domain_ascii(split_part(address, '@', 2))
$fn$;
UPDATE auth.app_user SET email = auth.address_ascii(email)
    WHERE split_part(email, '@', 2) ~ '[^\x01-\x7f]';
UPDATE auth.identity SET email = auth.address_ascii(email)
    WHERE split_part(email, '@', 2) ~ '[^\x01-\x7f]';
UPDATE auth.personal_invite SET email = auth.address_ascii(email)
    WHERE split_part(email, '@', 2) ~ '[^\x01-\x7f]';
UPDATE sync.connected_account SET handle = auth.address_ascii(handle)
    WHERE split_part(handle, '@', 2) ~ '[^\x01-\x7f]';
UPDATE vault.credential SET handle = auth.address_ascii(handle)
    WHERE split_part(handle, '@', 2) ~ '[^\x01-\x7f]';
