//! Shared parts of the commands about workspaces.

use latchkey_config::{Environment, WebOrigin};
use latchkey_workspaces::domain_verification;
use latchkey_workspaces::domain_verification::dns::NameServers;
use latchkey_workspaces::random::Randomness;
use latchkey_workspaces::store::audit::{Actor, Change};
use latchkey_workspaces::store::workspace::domain::{Claim, Purpose};
use latchkey_workspaces::store::workspace::{self, Workspace};
use sqlx::PgPool;

use crate::database;
use crate::failure::Failure;

/// The resources that every command needs.
pub(super) struct CommandContext<'a> {
    pub(super) environment: &'a Environment,
    pub(super) pool: PgPool,
    pub(super) randomness: Randomness,
}

impl<'a> CommandContext<'a> {
    /// Connects to the database.
    pub(super) async fn open(environment: &'a Environment) -> Result<Self, Failure> {
        Ok(Self {
            environment,
            pool: database::open(environment).await?,
            randomness: Randomness::default(),
        })
    }

    /// Begins a change by the operator, which is recorded in the audit.
    pub(super) async fn change(&self) -> Result<Change, Failure> {
        Ok(Change::begin(&self.pool, Actor::Operator).await?)
    }

    /// Claims a domain, which then has to be verified.
    pub(super) async fn claim(
        &self,
        workspace: &Workspace,
        purpose: Purpose,
        domain: &str,
    ) -> Result<Claim, Failure> {
        domain_verification::claim(
            &self.pool,
            Actor::Operator,
            workspace.id,
            purpose,
            domain,
            &self.randomness,
        )
        .await
        .map_err(Failure::of)
    }

    /// Verifies a claim by its TXT record.
    pub(super) async fn verify(
        &self,
        workspace: &Workspace,
        purpose: Purpose,
        domain: &str,
    ) -> Result<Claim, Failure> {
        domain_verification::verify_by_record(
            &self.pool,
            &NameServers::from_environment(self.environment)?,
            Actor::Operator,
            workspace.id,
            purpose,
            domain,
        )
        .await
        .map_err(Failure::of)
    }

    pub(super) async fn find_workspace(
        &self,
        reference: Option<String>,
    ) -> Result<Workspace, Failure> {
        find_workspace(&self.pool, reference.as_deref()).await
    }

    /// Returns a link into this deployment, or only the parameter if `PUBLIC_URL` is not
    /// set in this shell.
    pub(super) fn link(&self, path: &str, parameter: &str, token: &str) -> Result<String, Failure> {
        let Some(public) = self
            .environment
            .optional_parsed::<WebOrigin>("PUBLIC_URL")?
        else {
            return Ok(format!("{parameter}={token}"));
        };
        let mut url = public.url().clone();
        url.set_path(path);
        url.query_pairs_mut().append_pair(parameter, token);
        Ok(url.to_string())
    }
}

/// Finds the workspace with this id, host or name, or the only one if none is named.
pub(crate) async fn find_workspace(
    pool: &PgPool,
    reference: Option<&str>,
) -> Result<Workspace, Failure> {
    workspace::by_reference(pool, reference)
        .await?
        .ok_or_else(|| {
            Failure::Refused(
                "there is no such workspace, or there are several: name one by id or \
                 subdomain with --workspace (latchkey workspace list shows them)"
                    .to_owned(),
            )
        })
}
