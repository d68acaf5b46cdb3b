//! What a person agreed to with a button on a page of this service. Only the handlers of
//! these pages' forms create an agreement. It is part of the sealed flow. A flow without
//! one only signs in: it makes no choice for the person. The callback's transaction checks
//! this.

use latchkey_domain::WorkspaceId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The page whose button the person pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Page {
    /// The sign-in page. It names the workspace and says what a sign-in connects. It offers
    /// no other choice.
    #[serde(rename = "s")]
    SignIn,
    /// The review page. It names the workspace, the account, what is read and who sees it.
    /// The flow may use its choices and its invitation.
    #[serde(rename = "r")]
    Review,
}

/// What a person agreed to before they were sent to the provider.
///
/// The invitation, the visibility and the return location are in the flow's context, which
/// keeps them only together with an agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    #[serde(rename = "p")]
    page: Page,
    /// Time of the agreement in seconds since 1970.
    #[serde(rename = "t")]
    at: i64,
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    workspace: Option<WorkspaceId>,
}

impl Agreement {
    /// Creates the agreement of a person who pressed the button of `page`, which named
    /// `workspace`.
    pub fn on(page: Page, workspace: Option<WorkspaceId>, now: OffsetDateTime) -> Self {
        Self {
            page,
            at: now.unix_timestamp(),
            workspace,
        }
    }

    /// Returns `true` if the page named this workspace. The agreement does not count for
    /// another one.
    pub fn is_for(&self, workspace: WorkspaceId) -> bool {
        self.workspace == Some(workspace)
    }

    /// Returns `true` if the person chose to connect an account, or to connect it again.
    /// The sign-in page only says what every sign-in connects.
    pub fn chose_to_connect(&self) -> bool {
        self.page == Page::Review
    }

    /// Returns when the person agreed.
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
