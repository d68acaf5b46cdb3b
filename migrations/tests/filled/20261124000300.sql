INSERT INTO auth.workspace (id, name, subdomain) VALUES ('00000000-0000-0000-0000-000000000001', 'Acme', 'acme');
INSERT INTO auth.approved_access_domain (workspace_id, domain) VALUES ('00000000-0000-0000-0000-000000000001', 'acme.example');
INSERT INTO auth.app_user (id, email) VALUES ('00000000-0000-0000-0000-000000000002', 'ada@acme.example');
INSERT INTO auth.identity (id, user_id, provider, issuer, subject, email, email_verified)
VALUES ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000002', 'google', 'https://accounts.google.com', '1', 'ada@acme.example', true);
INSERT INTO auth.workspace_member (workspace_id, user_id, joined_by)
VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002', 'APPROVED_DOMAIN');
INSERT INTO auth.session (id, secret_hash, user_id, workspace_id, expires_at)
VALUES ('00000000-0000-0000-0000-000000000004', 'h', '00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', now() + interval '1 day');
