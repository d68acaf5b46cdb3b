//! The cards of the connections page.

use latchkey_domain::ProviderName;
use latchkey_proto::account::{Account, Channel, ChannelKind};

use crate::http::icon::{self, Icon};
use crate::http::layout::AccountPage;
use crate::http::links::link;
use crate::http::wording;
use crate::login::sign_in_link::address;
use crate::state::State;

/// Path of the list.
pub(super) const LIST: &str = "/auth/account/connections";

/// The card of an account.
pub(super) struct Card {
    pub(super) icon: Icon,
    pub(super) label: String,
    pub(super) handle: String,
    /// The provider has not verified the address.
    pub(super) unverified: bool,
    pub(super) since: String,
    /// When the grant expires, if the provider says so.
    pub(super) ends: Option<String>,
    pub(super) notice: Option<&'static str>,
    pub(super) tone: &'static str,
    /// Link that reconnects the account, and whether it is the main action.
    pub(super) reconnect: Option<String>,
    pub(super) urgent: bool,
    pub(super) start: Option<Start>,
    pub(super) disconnect: Option<String>,
    pub(super) lines: Vec<Line>,
}

/// A button that starts waiting channels or restarts failed ones.
pub(super) struct Start {
    pub(super) action: String,
    pub(super) label: &'static str,
}

/// The line of a channel.
pub(super) struct Line {
    pub(super) icon: Icon,
    pub(super) kind: &'static str,
    pub(super) tone: &'static str,
    pub(super) status: &'static str,
    pub(super) note: &'static str,
    pub(super) refreshed: String,
}

/// Returns the display name of a provider.
pub(super) fn label(state: &State, provider: &str) -> String {
    provider
        .parse::<ProviderName>()
        .ok()
        .and_then(|name| state.providers.get(&name))
        .map_or_else(|| provider.to_owned(), |found| found.label().to_owned())
}

impl Card {
    pub(super) fn of(state: &State, account: &Account) -> Self {
        let waits = account.channels.iter().any(wording::waits);
        let failed = account.channels.iter().any(wording::failed);
        let dead = account.auth_failed_at.is_some();
        let partial = wording::needs_the_person(account);
        Self {
            icon: icon::of_provider(&account.provider),
            label: label(state, &account.provider),
            handle: wording::address(&account.handle),
            unverified: account.handle_verified == Some(false),
            since: wording::time_of(account.connected_at.as_ref()).map_or_else(String::new, |at| {
                format!("Connected {}", wording::ago(state.clock.now(), at))
            }),
            ends: wording::time_of(account.grant_expires_at.as_ref())
                .filter(|_| !dead)
                .map(|at| wording::until(state.clock.now(), at)),
            notice: if dead {
                Some(
                    "The provider no longer gives access, because it was withdrawn or your \
                     password changed. Please reconnect; everything then continues where it \
                     stopped.",
                )
            } else if partial {
                Some(
                    "You gave only part of the access. You can reconnect and agree to all of \
                     it, or keep it as it is.",
                )
            } else {
                None
            },
            tone: if dead { "bad" } else { "wait" },
            reconnect: reconnect(state, account),
            // The page shows only one main action.
            urgent: dead || (partial && !waits && !failed),
            // Channels cannot start before the person gives access again.
            start: (!dead && (waits || failed)).then(|| Start {
                action: format!("{LIST}/{}/start", account.id),
                label: if waits { "Start sync" } else { "Try again" },
            }),
            disconnect: state
                .grpc_clients
                .can_disconnect()
                .then(|| format!("{LIST}/{}/disconnect", account.id)),
            lines: account
                .channels
                .iter()
                .map(|channel| Line::of(state, account, channel))
                .collect(),
        }
    }
}

impl Line {
    fn of(state: &State, account: &Account, channel: &Channel) -> Self {
        let (tone, status, note) = wording::channel(account, channel, state.clock.now());
        let calendar = channel.kind() == ChannelKind::Calendar;
        Self {
            icon: if calendar { icon::CALENDAR } else { icon::MAIL },
            kind: if calendar { "Calendar" } else { "Mail" },
            tone: tone.class(),
            status,
            note,
            refreshed: wording::time_of(channel.synced_at.as_ref()).map_or_else(
                || "Not refreshed yet".to_owned(),
                |at| format!("Last refreshed {}", wording::ago(state.clock.now(), at)),
            ),
        }
    }
}

/// Returns the link that reconnects the same account and requests consent.
fn reconnect(state: &State, account: &Account) -> Option<String> {
    let name: ProviderName = account.provider.parse().ok()?;
    state.providers.get(&name)?;
    let back = address(state, AccountPage::Connections);
    Some(link(
        &format!("/auth/review/{name}"),
        &[
            ("purpose", "connect"),
            ("reconnect", "1"),
            ("loginHint", account.handle.as_str()),
            ("prompt", "consent"),
            ("returnTo", &back),
        ],
    ))
}
