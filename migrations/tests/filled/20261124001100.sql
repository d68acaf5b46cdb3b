INSERT INTO vault.audit (id, at, caller, method, account_id, outcome)
VALUES ('00000000-0000-0000-0000-0000000000a1', now(), 'mail-sync', 'GetAccessToken', '00000000-0000-0000-0000-00000000000a', 'GIVEN');
