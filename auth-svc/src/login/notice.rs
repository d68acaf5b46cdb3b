//! The notice of the sign-in page about the link that opened it.

use crate::http::icon::{self, Icon};
use crate::http::wording;
use crate::login::context::Context;
use crate::login::described_workspace::Described;
use crate::login::domain_policy::Invitation;

/// A notice about the link that opened the page.
pub(crate) struct Notice {
    /// Whether the link does not work.
    pub(crate) bad: bool,
    pub(crate) icon: Icon,
    /// Text of the notice.
    pub(crate) text: String,
}

pub(crate) fn notice(described: &Described, context: &Context) -> Option<Notice> {
    let bad = |text: &str| {
        Some(Notice {
            bad: true,
            icon: icon::ALERT,
            text: text.to_owned(),
        })
    };
    match described.invitation {
        Invitation::Absent if described.workspace.is_none() => {
            let named = context.workspace.is_some() || context.subdomain.is_some();
            if named {
                bad("There is no workspace at this address. Please check the link.")
            } else {
                None
            }
        }
        Invitation::Absent => None,
        Invitation::Usable => described.invited.as_ref().map(|email| Notice {
            bad: false,
            icon: icon::MAIL,
            text: format!(
                "Your invitation is for {}. Choose that account.",
                wording::address(email)
            ),
        }),
        Invitation::Expired => bad("This invitation has expired. Please ask for a new one."),
        Invitation::Used => bad(
            "This invitation was used already. If you used it, please sign in; otherwise ask \
             for a new one.",
        ),
        Invitation::SwitchedOff | Invitation::Revoked | Invitation::ForSomeoneElse => {
            bad("This invitation link does not work any more. Please ask for a new one.")
        }
    }
}
