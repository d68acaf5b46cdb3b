-- In a transaction of its own: reads go on while it is built, and writes wait until the table was read once.
SET LOCAL lock_timeout = '3s';
CREATE INDEX session_sealed_id_token ON auth.session (expires_at) WHERE sealed_id_token IS NOT NULL;
