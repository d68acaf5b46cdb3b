//! What is wrong with the person's accounts, grants and channels.

use std::fmt;

use latchkey_domain::{Handle, ScopeSet};
use latchkey_providers::{Access, FailureClass, Purpose, Registry};
use time::{Duration, OffsetDateTime};

use super::facts::{Account, Channel, Facts};
use crate::finding::Finding;
use crate::runbook::Runbook;
use crate::wording::{listed, long};

/// A worker begins with a job within this time.
const MOST_WAIT: Duration = Duration::minutes(10);

/// The data that an account gives access to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    Messages,
    Calendar,
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Messages => "mail",
            Self::Calendar => "calendar",
        })
    }
}

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
        judged.findings.push(no_account(address, facts));
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

fn no_account(address: &Handle, facts: &Facts) -> Finding {
    let agreed = facts.memberships.iter().any(|one| one.connects_at_sign_in);
    let remedy = if facts.events_waiting > 0 {
        "events wait in the outbox of auth-svc: the account appears when they are published"
    } else if agreed {
        "look at `latchkey parked list`, `latchkey unrouted count` and AUTH_<P>_AUTO_CONNECT; the \
         person can connect it at /auth/account/connections"
    } else {
        "the person did not agree to connect the mailbox: they do so at /auth/account/connections"
    };
    Finding {
        code: "no_account",
        runbook: Runbook::Account,
        problem: format!(
            "{} signed in, and no account is connected",
            address.for_people()
        ),
        looked_at: "identities, memberships and accounts".to_owned(),
        remedy: remedy.to_owned(),
    }
}

fn grant(account: &Account) -> Option<Finding> {
    let name = &account.handle;
    let class = account
        .failure_class
        .as_deref()
        .and_then(FailureClass::from_reason);
    account.granted_scopes.as_ref()?;
    if account.auth_failed_at.is_some() {
        return Some(dead(name, class));
    }
    if account.failure_class.is_some() {
        return Some(fails(name, class));
    }
    let has_refresh_token = account.refresh_token_key_id.is_some();
    (!has_refresh_token).then(|| no_refresh_token(name))
}

/// Of each finding about a grant.
const GRANT: &str = "the state of the grant";

fn reason_of(class: Option<FailureClass>) -> &'static str {
    class.map_or("the reason is not recorded", FailureClass::reason)
}

fn section_of(class: Option<FailureClass>) -> Runbook {
    class.map_or(Runbook::Channels, Runbook::Reason)
}

fn dead(account: &str, class: Option<FailureClass>) -> Finding {
    Finding {
        code: "grant_dead",
        runbook: section_of(class),
        problem: format!(
            "the grant of {account} does not work any more: {}",
            reason_of(class)
        ),
        looked_at: GRANT.to_owned(),
        remedy: "the person signs in again; your application has received \
                 account.reauth_required.v1"
            .to_owned(),
    }
}

fn fails(account: &str, class: Option<FailureClass>) -> Finding {
    let remedy = if class.is_some_and(FailureClass::is_operators) {
        "you act: the row of this reason in the runbook. The grant is not lost"
    } else {
        "refresh-svc tries again by itself; the row of this reason in the runbook says what helps"
    };
    Finding {
        code: "grant_fails",
        runbook: section_of(class),
        problem: format!(
            "the grant of {account} cannot be refreshed now: {}",
            reason_of(class)
        ),
        looked_at: GRANT.to_owned(),
        remedy: remedy.to_owned(),
    }
}

fn no_refresh_token(account: &str) -> Finding {
    Finding {
        code: "no_grant",
        runbook: Runbook::Reason(FailureClass::NoRefreshToken),
        problem: format!("{account} has no refresh token, so its access ends within the hour"),
        looked_at: GRANT.to_owned(),
        remedy: "the person signs in again with consent (`/auth/<provider>?prompt=consent`)"
            .to_owned(),
    }
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
                judged
                    .findings
                    .push(not_granted(&account.handle, data, granted));
            }
        }
    }
    denied
}

fn not_granted(account: &str, data: Data, granted: &[String]) -> Finding {
    Finding {
        code: "scope_not_granted",
        runbook: Runbook::Reason(FailureClass::InsufficientScopes),
        problem: format!("{account} did not grant the {data} scope"),
        looked_at: format!("the scopes of the grant: {}", listed(granted)),
        remedy: format!(
            "the person signs in again and ticks the {data} on the provider's page; if it is not \
             there, add the scope to the registration at the provider"
        ),
    }
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
    let name = &account.handle;
    let since = now - channel.sync_stage_started_at;
    match (channel.sync_status.as_str(), channel.sync_stage.as_str()) {
        // It follows from the scope, or from the grant.
        ("FAILED_INSUFFICIENT_PERMISSIONS", _)
            if denied.contains(&data) || account.auth_failed_at.is_some() =>
        {
            None
        }
        (status, _) if status.starts_with("FAILED") => {
            let reason = channel.last_failure.as_deref().unwrap_or("no reason");
            Some(of_channel(
                "channel_failed",
                format!("the {data} channel of {name} is at {status}: {reason}"),
                format!(
                    "repair the sync worker, then `latchkey channels restart {}`",
                    account.id
                ),
            ))
        }
        (_, "PENDING_CONFIGURATION") => Some(of_channel(
            "channel_not_started",
            format!("the {data} channel of {name} was not started"),
            "with CONNECT_MODE=confirm the person starts it at /auth/account/connections"
                .to_owned(),
        )),
        (_, stage)
            if (stage.ends_with("_PENDING") || stage.ends_with("_SCHEDULED"))
                && channel.synced_at.is_none()
                && since >= MOST_WAIT =>
        {
            let since = long(since);
            Some(of_channel(
                "channel_waits",
                format!("the {data} channel of {name} has been at {stage} for {since}"),
                "start the sync worker that consumes the job queue, or look at why it does not \
                 report"
                    .to_owned(),
            ))
        }
        _ => None,
    }
}

fn of_channel(code: &'static str, problem: String, remedy: String) -> Finding {
    Finding {
        code,
        runbook: Runbook::Channels,
        problem,
        looked_at: "the channels of the account".to_owned(),
        remedy,
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

    fn code(finding: Option<Finding>) -> Option<&'static str> {
        finding.map(|finding| finding.code)
    }

    fn judged(status: &str, stage: &str, denied: &[Data]) -> Option<&'static str> {
        let channel = Channel {
            account_id: Uuid::from_u128(1),
            kind: "CALENDAR".to_owned(),
            sync_status: status.to_owned(),
            sync_stage: stage.to_owned(),
            sync_stage_started_at: NOW - Duration::hours(1),
            synced_at: None,
            last_failure: None,
        };
        code(super::channel(&account(), &channel, denied, NOW))
    }

    #[test]
    fn a_channel_that_failed_for_its_scope_is_not_a_second_finding() {
        let failed = "FAILED_INSUFFICIENT_PERMISSIONS";
        assert_eq!(judged(failed, "FAILED", &[]), Some("channel_failed"));
        assert_eq!(judged(failed, "FAILED", &[Data::Calendar]), None);
        assert_eq!(
            judged(failed, "FAILED", &[Data::Messages]),
            Some("channel_failed")
        );
    }

    #[test]
    fn a_channel_that_waits_for_a_worker_is_a_finding_and_one_that_runs_is_not() {
        assert_eq!(
            judged("ONGOING", "CALENDAR_EVENT_LIST_FETCH_SCHEDULED", &[]),
            Some("channel_waits")
        );
        assert_eq!(
            judged("ONGOING", "CALENDAR_EVENTS_IMPORT_ONGOING", &[]),
            None
        );
        assert_eq!(
            judged("NOT_SYNCED", "PENDING_CONFIGURATION", &[]),
            Some("channel_not_started")
        );
    }

    #[test]
    fn the_state_of_a_grant_is_one_finding() {
        assert_eq!(grant(&account()), None);
        let dead = Account {
            auth_failed_at: Some(NOW),
            failure_class: Some("INVALID_REFRESH_TOKEN".to_owned()),
            ..account()
        };
        assert_eq!(code(grant(&dead)), Some("grant_dead"));
        let failing = Account {
            failure_class: Some("CLIENT_MISCONFIGURED".to_owned()),
            ..account()
        };
        let failing = grant(&failing).unwrap();
        assert_eq!(failing.code, "grant_fails");
        assert!(failing.problem.ends_with("CLIENT_MISCONFIGURED"));
        let none = Account {
            refresh_token_key_id: None,
            ..account()
        };
        assert_eq!(code(grant(&none)), Some("no_grant"));
    }
}
