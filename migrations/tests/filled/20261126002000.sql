INSERT INTO sync.grant_death (account_id, died_at, width, authenticated_at, of_refresh_token)
VALUES ('00000000-0000-0000-0000-00000000000a', now(), 1, now(), true);
