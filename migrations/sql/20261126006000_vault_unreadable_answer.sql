-- The version whose refresh token the provider answered as if it had issued
-- tokens (200), with none that could be read. A strict provider may have spent the
-- refresh token with that answer, so it is replayed once and no more. Of no meaning
-- once the version has moved.
ALTER TABLE vault.credential ADD COLUMN unreadable_version bigint;
