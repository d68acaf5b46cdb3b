//! Shared parts of the commands about workspaces.

use latchkey_config::Environment;
use latchkey_service::StartError;
use serde_json::Value;
use sqlx::PgPool;

use crate::http::origin::WebOrigin;
use crate::random::Randomness;
use crate::store::audit::{Actor, Change};
use crate::store::workspace::domain::{Claim, Purpose};
use crate::store::workspace::{self, Workspace};
use crate::workspace::domain_verification;
use crate::workspace::domain_verification::dns::NameServers;

/// The output of a command, as text for people and as JSON for programs.
#[derive(Debug)]
pub struct Output {
    text: String,
    json: Value,
}

impl Output {
    pub(super) fn new(text: impl Into<String>, json: Value) -> Self {
        Self {
            text: text.into(),
            json,
        }
    }

    /// Lists entries: a line and a JSON value for each. `empty` is the text if there are none.
    pub(super) fn list(entries: impl Iterator<Item = (String, Value)>, empty: &str) -> Self {
        let (lines, json): (Vec<_>, Vec<_>) = entries.unzip();
        let text = if lines.is_empty() {
            empty.to_owned()
        } else {
            lines.join("\n")
        };
        Self::new(text, Value::Array(json))
    }

    /// Returns the output as JSON or as text.
    pub fn print(&self, as_json: bool) -> String {
        if as_json {
            format!("{:#}", self.json)
        } else {
            self.text.clone()
        }
    }
}

/// The resources that every command needs.
pub(super) struct CommandContext<'a> {
    pub(super) environment: &'a Environment,
    pub(super) pool: PgPool,
    pub(super) randomness: Randomness,
}

impl CommandContext<'_> {
    /// Begins a change by the operator, which is recorded in the audit.
    pub(super) async fn change(&self) -> Result<Change, StartError> {
        Ok(Change::begin(&self.pool, Actor::Operator).await?)
    }

    /// Claims a domain, which then has to be verified.
    pub(super) async fn claim(
        &self,
        workspace: &Workspace,
        purpose: Purpose,
        domain: &str,
    ) -> Result<Claim, StartError> {
        domain_verification::claim(
            &self.pool,
            Actor::Operator,
            workspace.id,
            purpose,
            domain,
            &self.randomness,
        )
        .await
        .map_err(StartError::other)
    }

    /// Verifies a claim by its TXT record.
    pub(super) async fn verify(
        &self,
        workspace: &Workspace,
        purpose: Purpose,
        domain: &str,
    ) -> Result<Claim, StartError> {
        domain_verification::verify_by_record(
            &self.pool,
            &NameServers::from_environment(self.environment)?,
            Actor::Operator,
            workspace.id,
            purpose,
            domain,
        )
        .await
        .map_err(StartError::other)
    }

    pub(super) async fn find_workspace(
        &self,
        reference: Option<String>,
    ) -> Result<Workspace, StartError> {
        workspace::by_reference(&self.pool, reference.as_deref())
            .await?
            .ok_or_else(|| {
                StartError::Other(
                    "there is no such workspace, or there are several: name one by id or \
                     subdomain with --workspace (auth-svc workspace list shows them)"
                        .to_owned(),
                )
            })
    }

    /// Returns a link into this deployment, or only the parameter if `PUBLIC_URL` is not
    /// set in this shell.
    pub(super) fn link(
        &self,
        path: &str,
        parameter: &str,
        token: &str,
    ) -> Result<String, StartError> {
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
