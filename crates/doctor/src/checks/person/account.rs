//! What is wrong with the person's accounts, grants and channels.

use latchkey_domain::{Handle, ScopeSet};
use latchkey_providers::{Access, FailureClass, Purpose, Registry};
use time::{Duration, OffsetDateTime};

use super::facts::{Account, Channel, Facts};
use crate::finding::{Data, Finding};

/// A worker begins with a job within this time.
const MOST_WAIT: Duration = Duration::minutes(10);

/// What is wrong with the accounts, and which data no account has because it is switched off.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub findings: Vec<Finding>,
    pub switched_off: Vec<String>,
}

pub(super) fn judge(
    address: &Handle,
    facts: &Facts,
    providers: Option<&Registry>,
    now: OffsetDateTime,
) -> Judged {
    let mut judged = Judged::default();
    let is_connected =
        |account: &&Account| account.disconnected_at.is_none() && account.erased_at.is_none();
    let mut connected = facts.accounts.iter().filter(is_connected).peekable();
    let asks = |all: &Registry| all.iter().any(|one| one.asks_for_data(Purpose::SignIn));
    let asks_for_data = providers.is_some_and(asks);
    if connected.peek().is_none() && !facts.identities.is_empty() && asks_for_data {
        judged.findings.push(Finding::NoAccount {
            address: address.for_people(),
            outbox_waits: facts.events_waiting > 0,
            agreed: facts.memberships.iter().any(|one| one.connects_at_sign_in),
        });
    }
    for account in connected {
        judged.findings.extend(grant(account));
        let denied = scopes(account, providers, &mut judged);
        let channels = facts.channels.iter();
        for channel in channels.filter(|channel| channel.account_id == account.id) {
            judged
                .findings
                .extend(self::channel(account, channel, &denied, now));
        }
    }
    judged
}

fn grant(account: &Account) -> Option<Finding> {
    let name = account.handle.clone();
    let class = account
        .failure_class
        .as_deref()
        .and_then(FailureClass::from_reason);
    account.granted_scopes.as_ref()?;
    if account.auth_failed_at.is_some() {
        return Some(Finding::GrantDead {
            account: name,
            class,
        });
    }
    if account.failure_class.is_some() {
        return Some(Finding::GrantFails {
            account: name,
            class,
        });
    }
    let has_refresh_token = account.refresh_token_key_id.is_some();
    (!has_refresh_token).then_some(Finding::NoGrant { account: name })
}

/// The data that the person did not grant.
fn scopes(account: &Account, providers: Option<&Registry>, judged: &mut Judged) -> Vec<Data> {
    let provider = account.provider.parse().ok();
    let provider = provider.and_then(|name| providers?.get(&name));
    let (Some(provider), Some(granted)) = (provider, &account.granted_scopes) else {
        return Vec::new();
    };
    let set: ScopeSet = granted.iter().map(String::as_str).collect();
    let access = provider.access(&set);
    let mut denied = Vec::new();
    for (data, access) in [
        (Data::Messages, access.messages),
        (Data::Calendar, access.calendar),
    ] {
        match access {
            Access::Granted => {}
            Access::NotWanted => {
                let label = provider.label();
                judged
                    .switched_off
                    .push(format!("{data} of {label} is switched off"));
            }
            Access::Denied => {
                denied.push(data);
                judged.findings.push(Finding::NotGranted {
                    account: account.handle.clone(),
                    data,
                    granted: granted.clone(),
                });
            }
        }
    }
    denied
}

fn channel(
    account: &Account,
    channel: &Channel,
    denied: &[Data],
    now: OffsetDateTime,
) -> Option<Finding> {
    let data = if channel.kind == "CALENDAR" {
        Data::Calendar
    } else {
        Data::Messages
    };
    let account_name = account.handle.clone();
    let since = now - channel.sync_stage_started_at;
    match (channel.sync_status.as_str(), channel.sync_stage.as_str()) {
        // It follows from the scope, or from the grant.
        ("FAILED_INSUFFICIENT_PERMISSIONS", _)
            if denied.contains(&data) || account.auth_failed_at.is_some() =>
        {
            None
        }
        (status, _) if status.starts_with("FAILED") => Some(Finding::ChannelFailed {
            account: account_name,
            data,
            status: status.to_owned(),
            reason: channel
                .last_failure
                .clone()
                .unwrap_or_else(|| "no reason".to_owned()),
        }),
        (_, "PENDING_CONFIGURATION") => Some(Finding::ChannelNotStarted {
            account: account_name,
            data,
        }),
        (_, stage)
            if (stage.ends_with("_PENDING") || stage.ends_with("_SCHEDULED"))
                && channel.synced_at.is_none()
                && since >= MOST_WAIT =>
        {
            Some(Finding::ChannelWaits {
                account: account_name,
                data,
                stage: stage.to_owned(),
                since,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use uuid::Uuid;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

    fn account() -> Account {
        Account {
            id: Uuid::from_u128(1),
            provider: "google".to_owned(),
            handle: "ada@acme.example".to_owned(),
            connected_at: NOW,
            disconnected_at: None,
            granted_scopes: Some(vec!["openid".to_owned()]),
            last_refreshed_at: None,
            auth_failed_at: None,
            erased_at: None,
            failure_class: None,
            refresh_token_key_id: Some("k1".to_owned()),
        }
    }

    fn judged(status: &str, stage: &str, denied: &[Data]) -> Option<Finding> {
        let channel = Channel {
            account_id: Uuid::from_u128(1),
            kind: "CALENDAR".to_owned(),
            sync_status: status.to_owned(),
            sync_stage: stage.to_owned(),
            sync_stage_started_at: NOW - Duration::hours(1),
            synced_at: None,
            last_failure: None,
        };
        super::channel(&account(), &channel, denied, NOW)
    }

    #[test]
    fn a_channel_that_failed_for_its_scope_is_not_a_second_finding() {
        let failed = "FAILED_INSUFFICIENT_PERMISSIONS";
        assert!(judged(failed, "FAILED", &[]).is_some());
        assert_eq!(judged(failed, "FAILED", &[Data::Calendar]), None);
        assert!(judged(failed, "FAILED", &[Data::Messages]).is_some());
    }

    #[test]
    fn a_channel_that_waits_for_a_worker_is_a_finding_and_one_that_runs_is_not() {
        assert!(matches!(
            judged("ONGOING", "CALENDAR_EVENT_LIST_FETCH_SCHEDULED", &[]),
            Some(Finding::ChannelWaits { .. })
        ));
        assert_eq!(
            judged("ONGOING", "CALENDAR_EVENTS_IMPORT_ONGOING", &[]),
            None
        );
        assert!(matches!(
            judged("NOT_SYNCED", "PENDING_CONFIGURATION", &[]),
            Some(Finding::ChannelNotStarted { .. })
        ));
    }

    #[test]
    fn the_state_of_a_grant_is_one_finding() {
        assert_eq!(grant(&account()), None);
        let dead = Account {
            auth_failed_at: Some(NOW),
            failure_class: Some("INVALID_REFRESH_TOKEN".to_owned()),
            ..account()
        };
        assert!(matches!(grant(&dead), Some(Finding::GrantDead { .. })));
        let failing = Account {
            failure_class: Some("CLIENT_MISCONFIGURED".to_owned()),
            ..account()
        };
        assert!(matches!(
            grant(&failing),
            Some(Finding::GrantFails {
                class: Some(FailureClass::ClientMisconfigured),
                ..
            })
        ));
        let none = Account {
            refresh_token_key_id: None,
            ..account()
        };
        assert!(matches!(grant(&none), Some(Finding::NoGrant { .. })));
    }
}
