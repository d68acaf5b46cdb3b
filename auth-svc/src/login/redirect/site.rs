use crate::store::session::Session;
use crate::store::workspace::Workspace;

/// Where a workspace is served in multi-domain mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Site<'a> {
    /// First label of its host under the app's.
    pub subdomain: Option<&'a str>,
    /// Its own host, which comes first.
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
