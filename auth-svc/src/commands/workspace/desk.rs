//! What the commands about workspaces have in common.

use latchkey_config::Environment;
use latchkey_service::StartError;
use serde_json::Value;
use sqlx::PgPool;

use crate::http::origin::WebOrigin;
use crate::random::Randomness;
use crate::store::audit::{Actor, Change};
use crate::store::workspace::{self, Workspace};

/// What a command says, to a person and to a program.
#[derive(Debug)]
pub struct Answer {
    text: String,
    json: Value,
}

impl Answer {
    pub(super) fn new(text: impl Into<String>, json: Value) -> Self {
        Self {
            text: text.into(),
            json,
        }
    }

    /// As it is printed.
    pub fn print(&self, as_json: bool) -> String {
        if as_json {
            format!("{:#}", self.json)
        } else {
            self.text.clone()
        }
    }
}

/// What every command works with.
pub(super) struct Desk<'a> {
    pub(super) environment: &'a Environment,
    pub(super) pool: PgPool,
    pub(super) randomness: Randomness,
}

impl Desk<'_> {
    /// A change by the operator.
    pub(super) async fn change(&self) -> Result<Change, StartError> {
        Change::begin(&self.pool, Actor::Operator)
            .await
            .map_err(StartError::other)
    }

    pub(super) async fn find(&self, reference: Option<String>) -> Result<Workspace, StartError> {
        workspace::by_reference(&self.pool, reference.as_deref())
            .await
            .map_err(StartError::other)?
            .ok_or_else(|| {
                StartError::Other(
                    "no such workspace, or several: name it by id or subdomain with --workspace \
                     (auth-svc workspace list shows them)"
                        .to_owned(),
                )
            })
    }

    /// A link into this deployment, or the parameter alone where this shell
    /// does not know `PUBLIC_URL`.
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
