use crate::store::session::Session;
use crate::store::workspace::Workspace;

/// The host of a workspace in multi-domain mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Site<'a> {
    /// First label of its host under the app's host.
    pub subdomain: Option<&'a str>,
    /// Custom host, which takes precedence.
    pub custom_domain: Option<&'a str>,
}

impl<'a> From<Option<&'a str>> for Site<'a> {
    fn from(subdomain: Option<&'a str>) -> Self {
        Self {
            subdomain,
            custom_domain: None,
        }
    }
}

impl<'a> From<&'a Session> for Site<'a> {
    fn from(session: &'a Session) -> Self {
        Self {
            subdomain: session.subdomain.as_deref(),
            custom_domain: session.custom_domain.as_deref(),
        }
    }
}

impl<'a> From<&'a Workspace> for Site<'a> {
    fn from(workspace: &'a Workspace) -> Self {
        Self {
            subdomain: workspace.subdomain.as_deref(),
            custom_domain: workspace.custom_domain.as_deref(),
        }
    }
}
