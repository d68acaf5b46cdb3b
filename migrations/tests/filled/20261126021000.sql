INSERT INTO vault.replaced_grant (account_id, sealed_refresh_token)
SELECT account_id, '\x01' FROM vault.credential;
