-- no-transaction
CREATE INDEX CONCURRENTLY session_sealed_id_token ON auth.session (expires_at) WHERE sealed_id_token IS NOT NULL;
