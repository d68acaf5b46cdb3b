//! The mark of a flow that a person began with a button on a page of this
//! service. Only the handlers of these pages' forms make one; it travels in the
//! sealed flow, and what a flow without it may do is decided in the callback's
//! transaction: sign in, and nothing that is a choice.

use latchkey_domain::WorkspaceId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The page whose button the person pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Page {
    /// The sign-in page: it names the workspace and says what is connected as
    /// one signs in. Nobody chose anything else there.
    #[serde(rename = "s")]
    SignIn,
    /// The review page: it names the workspace, the account, what is read and
    /// who sees it. Its choices and its invitation count.
    #[serde(rename = "r")]
    Review,
}

/// What a person agreed to before they were sent to the provider.
///
/// The invitation, the visibility and the return location themselves stand in
/// the flow's context, which keeps them only together with this mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    #[serde(rename = "p")]
    page: Page,
    /// Seconds since 1970.
    #[serde(rename = "t")]
    at: i64,
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    workspace: Option<WorkspaceId>,
}

impl Agreement {
    /// The person pressed the button of `page`, which named `workspace`.
    pub fn on(page: Page, workspace: Option<WorkspaceId>, now: OffsetDateTime) -> Self {
        Self {
            page,
            at: now.unix_timestamp(),
            workspace,
        }
    }

    /// Returns `true` if the page named this workspace: for another one, nothing was
    /// agreed to.
    pub fn is_for(&self, workspace: WorkspaceId) -> bool {
        self.workspace == Some(workspace)
    }

    /// Returns `true` if the person chose to connect an account, or to connect it
    /// again. The sign-in page only says what a sign-in does by itself.
    pub fn chose_to_connect(&self) -> bool {
        self.page == Page::Review
    }

    /// When the person chose.
    pub fn chosen_at(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.at).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_counts_for_the_workspace_that_its_page_named_and_says_what_was_chosen() {
        let (one, other) = (WorkspaceId::generate(), WorkspaceId::generate());
        let now = OffsetDateTime::from_unix_timestamp(1_795_392_005).unwrap();
        let mark = Agreement::on(Page::Review, Some(one), now);
        assert!(mark.is_for(one) && !mark.is_for(other));
        assert!(!Agreement::on(Page::Review, None, now).is_for(one));
        assert!(mark.chose_to_connect());
        assert!(!Agreement::on(Page::SignIn, Some(one), now).chose_to_connect());
        assert_eq!(mark.chosen_at(), now);
    }
}
