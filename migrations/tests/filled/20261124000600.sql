INSERT INTO auth.workspace_metadata (workspace_id, key, value)
VALUES ('00000000-0000-0000-0000-000000000001', 'approvedAccessDomains', '["acme.example"]');
