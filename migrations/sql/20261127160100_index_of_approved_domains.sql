-- no-transaction
-- The first sign-in of a person looks for the workspaces that approved the domain of the address.
-- The primary key begins with the workspace, so this read every domain of every workspace.
CREATE INDEX CONCURRENTLY IF NOT EXISTS approved_access_domain_domain
    ON auth.approved_access_domain (domain);
