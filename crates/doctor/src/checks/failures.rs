//! Recent failures by their kind: grants that cannot be refreshed, channels that failed, calls
//! that were refused, and how sign-ins ended.

mod sign_ins;

use std::sync::Arc;

use futures::future::join;
use latchkey_providers::{FailureClass, Provider};

use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::wording::counted;
use crate::world::World;

/// Fewer dead grants in a day, or refusals in an hour, are single people and callers.
const MANY: i64 = 10;

/// Reasons of refused calls that concern the operator.
const CALLS: [&str; 2] = ["CALLER_UNKNOWN", "CALLER_NOT_ALLOWED"];

#[derive(Debug, Default)]
struct Seen {
    /// Grants by class: those that fail now, or are dead since a day.
    grants: Vec<(FailureClass, i64)>,
    /// Channels at FAILED_UNKNOWN, and one of the reasons.
    channels: Option<(i64, String)>,
    /// Refused calls of the last hour by reason.
    calls: Vec<(String, i64)>,
    /// Accounts by provider and client id.
    clients: Vec<(String, String, i64)>,
}

pub(crate) async fn check(world: &World) -> Outcome {
    let (seen, sign_ins) = join(look(world), sign_ins::look(world)).await;
    let seen = seen?;
    let grants = seen.grants.iter();
    let mut lines: Vec<String> = grants
        .map(|(class, count)| format!("{count} grants: {class}"))
        .collect();
    lines.extend(
        seen.calls
            .iter()
            .map(|(reason, count)| format!("{count} calls: {reason}")),
    );
    lines.extend(
        seen.channels
            .iter()
            .map(|(count, reason)| format!("{count} channels: {reason}")),
    );
    if lines.is_empty() {
        lines.push("none".to_owned());
    }
    lines.extend(sign_ins);
    let configured = configured_clients(world);
    Ok(Looked {
        seen: lines,
        findings: judge(&seen, &configured),
        detail: None,
    })
}

/// Provider and client id.
fn configured_clients(world: &World) -> Vec<(String, String)> {
    let Some((_, registry)) = world.sign_in_providers() else {
        return Vec::new();
    };
    let client =
        |provider: &Arc<Provider>| (provider.name().to_string(), provider.client_id().to_owned());
    registry.iter().map(client).collect()
}

async fn look(world: &World) -> Result<Seen, NotLooked> {
    let pool = world.pool().await?;
    let failed = |error| NotLooked::of_statement(&error);
    let grants: Vec<(String, i64)> = sqlx::query_as(
        "SELECT failure_class, count(*) FROM operators.account
         WHERE failure_class IS NOT NULL AND erased_at IS NULL AND disconnected_at IS NULL
           AND (auth_failed_at IS NULL OR auth_failed_at > now() - interval '1 day')
         GROUP BY failure_class ORDER BY count(*) DESC",
    )
    .fetch_all(pool)
    .await
    .map_err(failed)?;
    let channels: (i64, Option<String>) = sqlx::query_as(
        "SELECT count(*), max(last_failure) FROM operators.channel
         WHERE sync_status = 'FAILED_UNKNOWN'",
    )
    .fetch_one(pool)
    .await
    .map_err(failed)?;
    let calls: Vec<(String, i64)> = sqlx::query_as(
        "SELECT reason, count(*) FROM (
             SELECT reason FROM vault.audit
             WHERE outcome = 'REFUSED' AND at > now() - interval '1 hour'
             UNION ALL
             SELECT reason FROM sync.audit
             WHERE outcome = 'REFUSED' AND at > now() - interval '1 hour') AS refused
         WHERE reason IS NOT NULL GROUP BY reason ORDER BY count(*) DESC LIMIT 20",
    )
    .fetch_all(pool)
    .await
    .map_err(failed)?;
    let clients: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT provider, client_id, count(*) FROM operators.account
         WHERE client_id IS NOT NULL AND auth_failed_at IS NULL AND erased_at IS NULL
         GROUP BY provider, client_id",
    )
    .fetch_all(pool)
    .await
    .map_err(failed)?;
    let grants = grants.into_iter();
    let (count, reason) = channels;
    Ok(Seen {
        grants: grants
            .filter_map(|(class, count)| Some((FailureClass::from_reason(&class)?, count)))
            .collect(),
        channels: (count > 0).then(|| (count, reason.unwrap_or_else(|| "no reason".to_owned()))),
        calls,
        clients,
    })
}

fn judge(seen: &Seen, configured: &[(String, String)]) -> Vec<Finding> {
    let grants = seen.grants.iter();
    let grants = grants.filter(|(class, count)| class.is_operators() || *count >= MANY);
    let grants = grants.map(|(class, count)| {
        let fail = counted(*count, "grant fails", "grants fail");
        let problem = format!("{fail} with {class}");
        refusals(problem, class.reason(), Runbook::Reason(*class))
    });
    let calls = seen.calls.iter();
    let calls = calls.filter(|(reason, count)| CALLS.contains(&reason.as_str()) && *count >= MANY);
    let calls = calls.map(|(reason, count)| {
        let problem = format!("{count} calls were refused in the last hour with {reason}");
        refusals(problem, reason, Runbook::CallerRefused)
    });
    let channels = seen
        .channels
        .iter()
        .map(|(count, reason)| channels_failed(*count, reason));
    let others = seen
        .clients
        .iter()
        .filter_map(|(provider, client, accounts)| {
            let (_, configured) = configured.iter().find(|(name, _)| name == provider)?;
            (configured != client).then(|| client_changed(provider, configured, *accounts))
        });
    others.chain(grants).chain(calls).chain(channels).collect()
}

fn refusals(problem: String, reason: &str, runbook: Runbook) -> Finding {
    Finding {
        code: "refusals",
        runbook,
        problem,
        looked_at: "the state of the grants, and the audit of the last hour".to_owned(),
        remedy: format!("the row of {reason} in the runbook"),
    }
}

fn channels_failed(count: i64, reason: &str) -> Finding {
    let channels = counted(count, "channel has", "channels have");
    Finding {
        code: "channels_failed",
        runbook: Runbook::Channels,
        problem: format!("{channels} failed: {reason}"),
        looked_at: "the channels at FAILED_UNKNOWN".to_owned(),
        remedy: "`latchkey channels failed` lists them; repair the sync worker, then `latchkey \
                 channels restart --all`"
            .to_owned(),
    }
}

fn client_changed(provider: &str, configured: &str, accounts: i64) -> Finding {
    let grants = counted(accounts, "grant", "grants");
    let belong = if accounts == 1 { "belongs" } else { "belong" };
    Finding {
        code: "client_changed",
        runbook: Runbook::Reason(FailureClass::ClientChanged),
        problem: format!("{grants} of {provider} {belong} to another client id than {configured}"),
        looked_at: "the client ids of the stored grants, against the configured one".to_owned(),
        remedy: "if the id was changed by mistake, set the former one again at once; otherwise \
                 these people have to sign in again"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::codes;

    #[test]
    fn one_grant_counts_if_the_operator_acts_and_many_if_not() {
        let seen = |class, count| Seen {
            grants: vec![(class, count)],
            ..Seen::default()
        };
        let one = judge(&seen(FailureClass::ClientMisconfigured, 1), &[]);
        assert_eq!(codes(&one), ["refusals"]);
        assert_eq!(one[0].problem, "1 grant fails with CLIENT_MISCONFIGURED");
        let nine = seen(FailureClass::InvalidRefreshToken, 9);
        assert_eq!(judge(&nine, &[]), []);
        let ten = seen(FailureClass::InvalidRefreshToken, 10);
        assert_eq!(codes(&judge(&ten, &[])), ["refusals"]);
    }

    #[test]
    fn grants_of_another_client_than_the_configured_one_are_a_finding() {
        let seen = Seen {
            clients: vec![("google".to_owned(), "old".to_owned(), 3)],
            ..Seen::default()
        };
        let configured = |id: &str| [("google".to_owned(), id.to_owned())];
        assert_eq!(judge(&seen, &configured("old")), []);
        let findings = judge(&seen, &configured("new"));
        assert_eq!(codes(&findings), ["client_changed"]);
        assert!(findings[0].problem.starts_with("3 grants of google belong"));
    }
}
