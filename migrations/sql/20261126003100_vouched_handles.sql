-- The address that somebody who may say so vouched for; NULL if nobody did. An
-- account is found by its handle only while the two are equal, so that a writer
-- that knows `handle` alone takes the vouching away with the address.
ALTER TABLE sync.connected_account ADD COLUMN vouched_handle text;
ALTER TABLE vault.credential ADD COLUMN vouched_handle text;

-- What is known of accounts that were connected before: those whose owner signs
-- in with them. The others are vouched for by their next sign-in or connection.
UPDATE sync.connected_account a SET vouched_handle = lower(a.handle)
FROM auth.identity i
WHERE (i.provider, i.issuer, i.subject) = (a.provider, a.issuer, a.subject)
  AND i.email_verified AND lower(i.email) = lower(a.handle);
UPDATE vault.credential c SET vouched_handle = lower(c.handle)
FROM auth.identity i
WHERE (i.provider, i.issuer, i.subject) = (c.provider, c.issuer, c.subject)
  AND i.email_verified AND lower(i.email) = lower(c.handle);

-- The look-up by handle. `credential_handle` stays for replicas of before.
CREATE INDEX credential_vouched_handle ON vault.credential (workspace_id, provider, vouched_handle)
    WHERE vouched_handle IS NOT NULL;
