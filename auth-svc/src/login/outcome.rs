//! How the transaction of a sign-in or a connection ends.

use latchkey_domain::{Handle, SessionId, UserId, WorkspaceId};
use latchkey_sealing::SealError;
use time::OffsetDateTime;

use crate::login::domain_policy::PolicyRefusal;
use crate::login::redirect::Site;
use crate::random::NoRandomness;
use crate::store::issue::IssueError;
use crate::store::session::SessionSecret;

/// Why a callback's transaction wrote nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The flow was finished before.
    #[error("the flow was finished before")]
    Replayed,
    /// The person may not come in.
    #[error(transparent)]
    Policy(#[from] PolicyRefusal),
    /// No workspace to sign in to.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The request names no workspace, and the address leads to none.
    #[error("neither the request nor the address says which workspace")]
    NoWorkspaceFor(Handle),
    /// The connect flow was started by another session than the one here.
    #[error("the session is not the one that started to connect")]
    SessionChanged,
    /// The identity has no address.
    #[error("the provider gave no address")]
    NoAddress,
    /// The grant cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No randomness for the session's secret.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The database refused or is not there.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl From<IssueError> for StoreError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Randomness(error) => Self::Randomness(error),
            IssueError::Database(error) => Self::Database(error),
        }
    }
}

/// Why there is no workspace to sign in to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WorkspaceError {
    /// The deployment has none yet.
    #[error("the deployment has no workspace: run `auth-svc workspace create`")]
    None,
    /// The one that was named does not exist.
    #[error("the workspace does not exist")]
    Unknown,
    /// There are several, and nothing says which.
    #[error("the request does not say which workspace")]
    NotNamed,
}

/// How a callback's transaction ended.
#[derive(Debug)]
pub enum Outcome<T> {
    /// Committed.
    Done(T),
    /// Nothing was written but that the flow is spent: a refresh token is
    /// wanted, none came and none is held. Ask for consent, once.
    ConsentNeeded,
}

/// A committed sign-in.
#[derive(Debug)]
pub struct SignedIn {
    /// The person.
    pub user: UserId,
    /// The new session.
    pub session: SessionId,
    /// Secret of its cookie.
    pub secret: SessionSecret,
    /// When it ends.
    pub expires_at: OffsetDateTime,
    /// Workspace signed in to.
    pub workspace: WorkspaceId,
    /// First label of the workspace's host under the app's.
    pub subdomain: Option<String>,
    /// The workspace's own host.
    pub custom_domain: Option<String>,
    /// True where the event carries a connection.
    pub connecting: bool,
    /// Where the person goes.
    pub next: Next,
}

impl<'a> From<&'a SignedIn> for Site<'a> {
    fn from(done: &'a SignedIn) -> Self {
        Self {
            subdomain: done.subdomain.as_deref(),
            custom_domain: done.custom_domain.as_deref(),
        }
    }
}

/// Where a person goes after a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Where they wanted.
    Onwards,
    /// To the page that asks what they did not agree to: nothing is connected,
    /// and nothing is handed over.
    Asked(Arrival),
}

/// How a person who is asked came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// They belong to the workspace since this sign-in.
    Joined,
    /// They belonged to it.
    Belonged,
}
