//! The result of the transaction of a sign-in or a connection.

use latchkey_domain::{Handle, SessionId, UserId, WorkspaceId};
use latchkey_sealing::SealError;
use time::OffsetDateTime;

use crate::login::domain_policy::PolicyRefusal;
use crate::login::redirect::Site;
use crate::random::RandomnessError;
use crate::secret::SessionSecret;
use crate::store::IssueError;

/// Why the transaction failed. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The flow was used before.
    #[error("the flow was finished before")]
    Replayed,
    /// The policy does not admit the person.
    #[error(transparent)]
    Policy(#[from] PolicyRefusal),
    /// There is no workspace to sign in to.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The request names no workspace, and the address does not lead to one.
    #[error("neither the request nor the address says which workspace")]
    NoWorkspaceFor(Handle),
    /// The flow was started in another session than the one in this browser.
    #[error("the session is not the one that started to connect")]
    SessionChanged,
    /// The identity has no address.
    #[error("the provider gave no address")]
    NoAddress,
    /// The provider ended the session there, by back-channel logout, while the person signed in.
    #[error("the provider ended its session meanwhile")]
    SignedOutAtProvider,
    /// The grant cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The random number generator failed.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The database failed or is not reachable.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl From<IssueError> for SignInError {
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
    /// The deployment has no workspace yet.
    #[error("the deployment has no workspace: run `latchkey workspace create`")]
    None,
    /// The named workspace does not exist.
    #[error("the workspace does not exist")]
    Unknown,
    /// The deployment has several workspaces and the request does not name one.
    #[error("the request does not say which workspace")]
    NotNamed,
}

/// How the transaction ended.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It was committed.
    Done(T),
    /// Only the flow was marked as used: a refresh token is wanted, none came and none is
    /// stored. The person is asked for consent once.
    ConsentNeeded,
    /// Only the flow was marked as used: the request left out offline access, and the person who
    /// came has no sufficient grant. It is requested once.
    GrantNeeded,
}

/// A committed sign-in.
#[derive(Debug)]
pub struct SignedIn {
    /// The person.
    pub user: UserId,
    /// Id of the new session.
    pub session: SessionId,
    /// Secret for the session cookie.
    pub secret: SessionSecret,
    /// When the session ends.
    pub expires_at: OffsetDateTime,
    /// Workspace of the session.
    pub workspace: WorkspaceId,
    /// First label of the workspace's host under the app's host.
    pub subdomain: Option<String>,
    /// Custom host of the workspace.
    pub custom_domain: Option<String>,
    /// Whether the event has a connection.
    pub connecting: bool,
    /// The page that follows.
    pub next: NextPage,
}

impl<'a> From<&'a SignedIn> for Site<'a> {
    fn from(done: &'a SignedIn) -> Self {
        Self {
            subdomain: done.subdomain.as_deref(),
            custom_domain: done.custom_domain.as_deref(),
        }
    }
}

/// The page that follows a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextPage {
    /// The return location.
    Destination,
    /// The welcome page, which asks what the person has not agreed to. Until then, nothing
    /// is connected and no session is handed over.
    Welcome(Arrival),
}

/// How the person of the welcome page became a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// They joined by this sign-in.
    Joined,
    /// They were a member before.
    Belonged,
}
