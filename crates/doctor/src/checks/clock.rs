//! The clocks of the database, the providers and the services, against the one of this machine.

use std::sync::Arc;

use futures::future::{join, join_all};
use latchkey_providers::Provider;
use time::{Duration, OffsetDateTime};
use url::Url;

use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::wording::long;
use crate::world::World;

/// An ID token whose times are further away is refused, so sign-ins fail.
const MOST_AWAY: Duration = Duration::minutes(1);

/// How far a clock is ahead of the one of this machine.
#[derive(Debug, Clone, PartialEq)]
struct Offset {
    whose: String,
    ahead: Duration,
}

pub(crate) async fn check(world: &World) -> Outcome {
    let offsets = look(world).await;
    if offsets.is_empty() {
        return Err(NotLooked::NotSet("DATABASE_URL or a provider"));
    }
    let line = |offset: &Offset| {
        let sign = if offset.ahead.is_negative() { '-' } else { '+' };
        format!("{} {sign}{}", offset.whose, long(offset.ahead))
    };
    Ok(Looked {
        seen: vec![offsets.iter().map(line).collect::<Vec<_>>().join(", ")],
        findings: judge(&offsets),
        detail: None,
    })
}

async fn look(world: &World) -> Vec<Offset> {
    let mut pages: Vec<(String, Url)> = Vec::new();
    if let Some((_, providers)) = world.sign_in_providers() {
        let page = |provider: &Arc<Provider>| {
            (
                provider.label().to_owned(),
                provider.discovery_url().clone(),
            )
        };
        pages.extend(providers.iter().map(page));
    }
    for port in &world.operator_ports {
        if let Ok(url) = port.url.join("/healthz") {
            pages.push((port.service.to_string(), url));
        }
    }
    let pages = join_all(
        pages
            .into_iter()
            .map(|(whose, url)| page(world, whose, url)),
    );
    let (database, pages) = join(database(world), pages).await;
    database
        .into_iter()
        .chain(pages.into_iter().flatten())
        .collect()
}

async fn database(world: &World) -> Option<Offset> {
    let pool = world.pool().await.ok()?;
    // The time for a new connection must not count.
    let mut connection = pool.acquire().await.ok()?;
    let before = world.clock.now();
    let theirs: OffsetDateTime = sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(&mut *connection)
        .await
        .ok()?;
    Some(Offset {
        whose: "the database".to_owned(),
        ahead: theirs - middle(before, world.clock.now()),
    })
}

/// The header `Date` of a response (RFC 9110 section 6.6.1), which has whole seconds.
async fn page(world: &World, whose: String, url: Url) -> Option<Offset> {
    let before = world.clock.now();
    let response = world.http.get(url).send().await.ok()?;
    let own = middle(before, world.clock.now());
    let date = response.headers().get("date")?.to_str().ok()?;
    let theirs = OffsetDateTime::from(httpdate::parse_http_date(date).ok()?);
    let ahead = theirs + Duration::milliseconds(500) - own;
    Some(Offset { whose, ahead })
}

fn middle(before: OffsetDateTime, after: OffsetDateTime) -> OffsetDateTime {
    before + (after - before) / 2
}

/// If all others agree with each other and not with this machine, its own clock is wrong.
fn judge(offsets: &[Offset]) -> Vec<Finding> {
    let is_away = |offset: &&Offset| offset.ahead.abs() >= MOST_AWAY;
    let ahead = || offsets.iter().map(|offset| offset.ahead);
    if let (Some(least), Some(most)) = (ahead().min(), ahead().max())
        && offsets.len() > 1
        && offsets.iter().all(|offset| is_away(&offset))
        && most - least < MOST_AWAY
    {
        return vec![own_clock(-least)];
    }
    offsets.iter().filter(is_away).map(clock).collect()
}

fn clock(Offset { whose, ahead }: &Offset) -> Finding {
    Finding {
        code: "clock",
        runbook: Runbook::Clock,
        problem: format!("the clock of {whose} is {}", away(*ahead)),
        looked_at: format!("the time of {whose}, against the clock of this machine"),
        remedy: format!("synchronize the clock of {whose} (NTP)"),
    }
}

fn own_clock(ahead: Duration) -> Finding {
    Finding {
        code: "own_clock",
        runbook: Runbook::Clock,
        problem: format!("the clock of this machine is {}", away(ahead)),
        looked_at: "the time of the database and of the providers, which agree with each other"
            .to_owned(),
        remedy: "synchronize the clock of this machine (NTP), and of the machines of the services \
                 if they are the same"
            .to_owned(),
    }
}

fn away(ahead: Duration) -> String {
    let direction = if ahead.is_negative() {
        "behind"
    } else {
        "ahead"
    };
    format!("{} {direction}", long(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::codes;

    fn offset(whose: &str, ahead: Duration) -> Offset {
        Offset {
            whose: whose.to_owned(),
            ahead,
        }
    }

    #[test]
    fn one_clock_that_is_away_is_named() {
        let offsets = [
            offset("the database", Duration::seconds(-300)),
            offset("Google", Duration::seconds(1)),
        ];
        let findings = judge(&offsets);
        assert_eq!(findings, judge(&offsets[..1]));
        assert_eq!(codes(&findings), ["clock"]);
        assert_eq!(
            findings[0].problem,
            "the clock of the database is 5 min behind"
        );
        assert_eq!(judge(&offsets[1..]), []);
    }

    #[test]
    fn the_clock_of_this_machine_is_wrong_if_all_others_agree() {
        let offsets = [
            offset("the database", Duration::seconds(-300)),
            offset("Google", Duration::seconds(-301)),
        ];
        let findings = judge(&offsets);
        assert_eq!(codes(&findings), ["own_clock"]);
        assert_eq!(
            findings[0].problem,
            "the clock of this machine is 5 min ahead"
        );
        let apart = [offsets[0].clone(), offset("Google", Duration::seconds(300))];
        assert_eq!(judge(&apart).len(), 2);
    }
}
