INSERT INTO auth.domain_claim (workspace_id, purpose, domain, record_value, expires_at)
VALUES ('00000000-0000-0000-0000-000000000001', 'ACCESS', 'acme.co', 'latchkey=v', now() + interval '1 day');
INSERT INTO auth.personal_invite (token_hash, workspace_id, email, expires_at)
VALUES ('h', '00000000-0000-0000-0000-000000000001', 'bo@acme.example', now() + interval '1 day');
