INSERT INTO auth.refresh_family (id, session_id, held_by)
VALUES ('00000000-0000-0000-0000-000000000005', '00000000-0000-0000-0000-000000000004', 'COOKIE');
INSERT INTO auth.refresh_token (token_hash, family_id, expires_at)
VALUES ('r', '00000000-0000-0000-0000-000000000005', now() + interval '1 day');
INSERT INTO auth.handover_code (code_hash, session_id, origin, expires_at)
VALUES ('c', '00000000-0000-0000-0000-000000000004', 'https://app.acme.example', now() + interval '1 minute');
