-- RP-initiated logout: the ID token of a sign-in is the hint of the sign-out at the provider.
SET LOCAL lock_timeout = '3s';
ALTER TABLE auth.session
    -- Sealed by auth-svc (FLOW_COOKIE_KEYS). NULL: the sign-out does not reach the provider, the ID token
    -- was too long, or the session has ended.
    ADD COLUMN sealed_id_token text;

-- A session ends in several ways, and by several roles. Each of them erases the ID token.
CREATE FUNCTION auth.erase_id_token() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.sealed_id_token := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER session_erase_id_token BEFORE UPDATE OF revoked_at ON auth.session
    FOR EACH ROW WHEN (NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION auth.erase_id_token();
