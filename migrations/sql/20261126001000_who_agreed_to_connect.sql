-- Whether a plain sign-in connects the member's account by the deployment's
-- switch. False for who joined without having been asked, until they agree: a
-- link must not connect by its second use what it may not connect by its first.
-- Members of before, and those that replicas of before add, were connected as
-- they came.
ALTER TABLE auth.workspace_member
    ADD COLUMN connects_at_sign_in boolean NOT NULL DEFAULT true;
