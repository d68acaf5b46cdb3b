//! The steps at each server, in their order. Each step that hurts a grant has a
//! person of its own.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use uuid::Uuid;

use super::desk::{Desk, PATIENCE, Pages, address, eventually};
use super::hydra::{Grace, Hydra};
use super::keycloak::Keycloak;
use super::table::Rows;
use crate::trail::account_of;

type Happened = anyhow::Result<String>;

/// Callers at once on one expired token.
const CALLERS: usize = 50;
/// The life of a token that is to expire.
const SHORT: Duration = Duration::from_secs(4);

const IN: &str = "one account with a token that the provider's API accepts";
const REFRESHED: &str = "a new token each time, accepted";
const BACK: &str = "a sign-in brings the same account back";
const ONE_REFRESH: &str = "one refresh, one token for all";
const DEAD: &str = "INVALID_REFRESH_TOKEN, the person is asked";
const UNTOUCHED: &str = "an outage is told, the grant lives and is served afterwards";
const KEYS: &str = "people sign in at once, also after a second change";
const GONE: &str = "confirmed by the provider, and the access token is refused";

/// One person at one server.
struct At<'a, P> {
    desk: &'a Desk<'a>,
    pages: &'a P,
    login: &'static str,
    userinfo: String,
}

impl<P: Pages> At<'_, P> {
    async fn signs_in(&self) -> anyhow::Result<Uuid> {
        let account = self.desk.sign_in(self.pages, self.login).await?.id;
        // A grant that was dead is served again as soon as the sign-in is applied.
        let token = eventually("a token after the sign-in", async || {
            Ok(self.desk.token(account).await?.ok())
        })
        .await?;
        let status = self.desk.accepts(&self.userinfo, &token).await?;
        ensure!(status == 200, "the provider's API answered {status}");
        Ok(account)
    }

    async fn connects(&self) -> Happened {
        let account = self.signs_in().await?;
        Ok(format!("account {}, accepted", short(account)))
    }

    async fn refreshes(&self, account: Uuid, times: usize) -> Happened {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..times {
            let token = self.desk.refresh(account).await??;
            let status = self.desk.accepts(&self.userinfo, &token).await?;
            ensure!(status == 200, "the provider's API answered {status}");
            seen.insert(token.access_token);
        }
        ensure!(seen.len() == times, "{} tokens of {times}", seen.len());
        Ok(format!("{times} refreshes, {times} tokens"))
    }

    async fn comes_back(&self, account: Uuid) -> Happened {
        let again = self.signs_in().await?;
        ensure!(again == account, "another account: {}", short(again));
        Ok("the same account".to_owned())
    }

    /// A refresh is refused for one of these reasons, and the grant is dead or not.
    async fn is_refused(&self, account: Uuid, reasons: &[&str], dead: bool) -> Happened {
        let Err(refusal) = self.desk.refresh(account).await? else {
            anyhow::bail!("a token was given");
        };
        let is = self.desk.is_dead(account).await?;
        let text = format!(
            "{refusal}, the grant {}",
            if is { "is dead" } else { "lives" }
        );
        ensure!(
            reasons.contains(&refusal.reason.as_str()) && is == dead,
            "{text}"
        );
        Ok(text)
    }

    /// The answer of a refresh is lost: the next one brings the replaced token.
    async fn lost_answer(&self, account: Uuid) -> anyhow::Result<()> {
        let before = self.desk.sealed(account).await?;
        self.desk.refresh(account).await??;
        self.desk.put_back(account, &before).await
    }

    /// Many callers ask for the token, which has expired.
    async fn asked_at_once(&self, account: Uuid) -> Happened {
        let first = self.desk.token(account).await??;
        tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
        let tokens = self.desk.tokens_at_once(account, CALLERS).await?;
        let newest = tokens.first().context("callers")?;
        ensure!(
            newest.access_token != first.access_token,
            "the expired token"
        );
        let same = tokens
            .iter()
            .filter(|token| token.access_token == newest.access_token)
            .count();
        let versions = newest.version - first.version;
        ensure!(
            same == CALLERS && versions == 1,
            "{same} of {CALLERS} have one token, {versions} versions later"
        );
        Ok(format!("{CALLERS} callers, one token, one version later"))
    }

    /// Nothing answers; `again` is called once that was told.
    async fn outage(
        &self,
        account: Uuid,
        reasons: &[&str],
        again: impl AsyncFnOnce() -> anyhow::Result<()>,
    ) -> Happened {
        let told = self.is_refused(account, reasons, false).await;
        let served = self.desk.token(account).await?.is_ok();
        again().await?;
        let told = told?;
        ensure!(served, "the token that is still good was not given");
        let begun = std::time::Instant::now();
        let token = self.desk.refreshed_again(account).await?;
        let after = begun.elapsed().as_secs();
        let status = self.desk.accepts(&self.userinfo, &token).await?;
        ensure!(status == 200, "the provider's API answered {status}");
        Ok(format!(
            "{told}, the good token is given meanwhile; served {after} s after its return"
        ))
    }

    async fn disconnects(&self, account: Uuid) -> Happened {
        let token = self.desk.token(account).await??;
        let confirmed = self.desk.disconnect(account).await?;
        ensure!(confirmed, "the provider did not confirm it");
        let status = self.desk.accepts(&self.userinfo, &token).await?;
        ensure!(
            status == 401 || status == 403,
            "the access token was answered {status}"
        );
        Ok(format!("confirmed, the access token is answered {status}"))
    }
}

/// The reasons that mean an outage.
const OUTAGE: [&str; 4] = [
    "NETWORK",
    "OUTCOME_UNKNOWN",
    "PROVIDER_UNAVAILABLE",
    "STILL_REFRESHING",
];
/// The reasons that are the operator's to mend.
const CLIENT: [&str; 2] = ["CLIENT_MISCONFIGURED", "UNAUTHORIZED"];
const ASKED: [&str; 2] = ["INVALID_REFRESH_TOKEN", "ROTATION_LOST"];

pub(super) async fn keycloak(desk: &Desk<'_>, server: &mut Keycloak, rows: &mut Rows<'_>) {
    if let Err(error) = keycloak_steps(desk, server, rows).await {
        rows.add("the walk", "goes on to its end", Err(error));
    }
}

async fn keycloak_steps(
    desk: &Desk<'_>,
    server: &mut Keycloak,
    rows: &mut Rows<'_>,
) -> anyhow::Result<()> {
    let people = [
        "ada", "disabled", "deleted", "ended", "consent", "client", "expired", "busy", "strict",
        "grace", "keys", "away", "leaving",
    ];
    for login in people {
        server.add_person(login).await?;
    }
    let userinfo = server.userinfo();
    macro_rules! at {
        ($login:literal) => {
            At {
                desk,
                pages: &*server,
                login: $login,
                userinfo: userinfo.clone(),
            }
        };
    }

    let ada = at!("ada");
    rows.add("sign-in", IN, ada.connects().await);
    let account = ada.signs_in().await?;
    rows.add(
        "refresh, strict rotation",
        REFRESHED,
        ada.refreshes(account, 3).await,
    );

    let strict = at!("strict");
    let account = strict.signs_in().await?;
    rows.add(
        "strict rotation, an answer was lost",
        DEAD,
        async {
            strict.lost_answer(account).await?;
            strict.is_refused(account, &ASKED, true).await
        }
        .await,
    );
    rows.add("and its way back", BACK, strict.comes_back(account).await);

    server
        .change(json!({"accessTokenLifespan": SHORT.as_secs()}))
        .await?;
    let busy = at!("busy");
    let account = busy.signs_in().await?;
    server.change(json!({"accessTokenLifespan": 300})).await?;
    rows.add(
        "50 callers at once on an expired token",
        ONE_REFRESH,
        async {
            let before = server.refreshes().await?;
            let happened = busy.asked_at_once(account).await?;
            let refreshes = server.refreshes().await? - before;
            ensure!(refreshes == 1, "{refreshes} refreshes at Keycloak");
            Ok(format!("{happened}; Keycloak counts 1 refresh"))
        }
        .await,
    );

    let disabled = at!("disabled");
    let account = disabled.signs_in().await?;
    rows.add(
        "user disabled",
        "ACCOUNT_DISABLED, tried again for 14 days",
        async {
            server.enable_person("disabled", false).await?;
            disabled
                .is_refused(account, &["ACCOUNT_DISABLED"], true)
                .await
        }
        .await,
    );
    rows.add(
        "and its way back",
        "heals by itself once enabled",
        async {
            server.enable_person("disabled", true).await?;
            disabled.desk.refreshed_again(account).await?;
            let dead = desk.is_dead(account).await?;
            ensure!(!dead, "a token, and the grant is still called dead");
            Ok("served again without a sign-in".to_owned())
        }
        .await,
    );

    let deleted = at!("deleted");
    let account = deleted.signs_in().await?;
    rows.add(
        "user deleted",
        DEAD,
        async {
            server.delete_person("deleted").await?;
            deleted
                .is_refused(
                    account,
                    &["INVALID_REFRESH_TOKEN", "ACCOUNT_DISABLED"],
                    true,
                )
                .await
        }
        .await,
    );
    rows.add(
        "somebody new with the address of the deleted user",
        "gets nothing of the former one: another account, or none",
        async {
            server.add_person("deleted").await?;
            let came = deleted.desk.sign_in(&*server, "deleted").await;
            ensure!(
                desk.token(account).await?.is_err(),
                "the account of the deleted person has a token"
            );
            let accounts = account_of(desk.stack.pool(), "keycloak", &address("deleted")).await?;
            Ok(match came {
                Ok(_) => format!("signed in; {} accounts of the address", accounts.len()),
                Err(error) => format!("told at the sign-in: {error:#}"),
            })
        }
        .await,
    );

    let ended = at!("ended");
    let account = ended.signs_in().await?;
    rows.add(
        "session logged out by an administrator",
        DEAD,
        async {
            server.log_out("ended").await?;
            ended.is_refused(account, &ASKED, true).await
        }
        .await,
    );
    rows.add("and its way back", BACK, ended.comes_back(account).await);

    let consent = at!("consent");
    let account = consent.signs_in().await?;
    rows.add(
        "consent revoked",
        "INVALID_REFRESH_TOKEN or CONSENT_REQUIRED, the person is asked",
        async {
            server.revoke_consent("consent").await?;
            let reasons = ["INVALID_REFRESH_TOKEN", "CONSENT_REQUIRED"];
            consent.is_refused(account, &reasons, true).await
        }
        .await,
    );
    rows.add("and its way back", BACK, consent.comes_back(account).await);

    let expired = at!("expired");
    let account = expired.signs_in().await?;
    rows.add("refresh token expired", DEAD, async {
        let brief = json!({"offlineSessionMaxLifespanEnabled": true, "offlineSessionMaxLifespan": SHORT.as_secs()});
        server.change(brief).await?;
        tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
        expired.is_refused(account, &ASKED, true).await
    }
    .await);
    server
        .change(json!({"offlineSessionMaxLifespanEnabled": false}))
        .await?;
    rows.add("and its way back", BACK, expired.comes_back(account).await);

    let client = at!("client");
    let account = client.signs_in().await?;
    rows.add(
        "client disabled",
        "the operator is told, the grant lives",
        async {
            server.enable_client(false).await?;
            client.is_refused(account, &CLIENT, false).await
        }
        .await,
    );
    server.enable_client(true).await?;
    rows.add(
        "and its way back",
        "served again once enabled",
        async {
            client.desk.refreshed_again(account).await?;
            Ok("served again without a sign-in".to_owned())
        }
        .await,
    );

    let keys = at!("keys");
    rows.add(
        "signing keys rotated",
        KEYS,
        async {
            let account = keys.signs_in().await?;
            server.rotate_keys(200).await?;
            keys.comes_back(account).await?;
            server.rotate_keys(300).await?;
            keys.comes_back(account).await?;
            keys.refreshes(account, 1).await?;
            Ok("two changes, a sign-in after each, a refresh".to_owned())
        }
        .await,
    );

    // From here on a replaced token is good twice more: a request that the server
    // answers to nobody does not end the grant.
    server.change(json!({"refreshTokenMaxReuse": 2})).await?;
    let grace = at!("grace");
    let account = grace.signs_in().await?;
    rows.add(
        "rotation with reuse, an answer was lost",
        "healed",
        async {
            grace.lost_answer(account).await?;
            grace.refreshes(account, 1).await
        }
        .await,
    );

    let away = at!("away");
    let account = away.signs_in().await?;
    server.silence();
    let happened = away
        .outage(account, &OUTAGE, async || {
            server.resume();
            Ok(())
        })
        .await;
    server.resume();
    rows.add("silence (SIGSTOP)", UNTOUCHED, happened);

    let account = at!("away").signs_in().await?;
    server.stop();
    let told = at!("away").is_refused(account, &OUTAGE, false).await;
    server.start().await?;
    let away = at!("away");
    rows.add(
        "restart",
        UNTOUCHED,
        async {
            let told = told?;
            desk.refreshed_again(account).await?;
            away.refreshes(account, 1).await?;
            Ok(format!("{told}; served again"))
        }
        .await,
    );

    let leaving = at!("leaving");
    rows.add(
        "disconnect after three sign-ins",
        "confirmed by the provider, and no session of the person lives there",
        async {
            let account = leaving.signs_in().await?;
            leaving.comes_back(account).await?;
            leaving.comes_back(account).await?;
            let before = server.sessions("leaving").await?.len();
            let confirmed = desk.disconnect(account).await?;
            let left = server.sessions("leaving").await?.len();
            ensure!(
                confirmed && left == 0,
                "confirmed: {confirmed}, {left} of {before} sessions live"
            );
            Ok(format!("confirmed, {before} sessions before, none after"))
        }
        .await,
    );
    Ok(())
}

pub(super) async fn hydra(desk: &Desk<'_>, server: &mut Hydra, rows: &mut Rows<'_>) {
    if let Err(error) = hydra_steps(desk, server, rows).await {
        rows.add("the walk", "goes on to its end", Err(error));
    }
}

async fn hydra_steps(
    desk: &Desk<'_>,
    server: &mut Hydra,
    rows: &mut Rows<'_>,
) -> anyhow::Result<()> {
    let userinfo = server.userinfo();
    macro_rules! at {
        ($login:literal) => {
            At {
                desk,
                pages: &*server,
                login: $login,
                userinfo: userinfo.clone(),
            }
        };
    }

    server.set_lives("1h", "720h").await?;
    let ada = at!("ada");
    rows.add("sign-in", IN, ada.connects().await);
    let account = ada.signs_in().await?;
    rows.add(
        "refresh, strict rotation",
        REFRESHED,
        ada.refreshes(account, 3).await,
    );

    let strict = at!("strict");
    let account = strict.signs_in().await?;
    rows.add(
        "strict rotation, an answer was lost",
        DEAD,
        async {
            strict.lost_answer(account).await?;
            strict.is_refused(account, &ASKED, true).await
        }
        .await,
    );
    rows.add("and its way back", BACK, strict.comes_back(account).await);

    server
        .set_lives(&format!("{}s", SHORT.as_secs()), "720h")
        .await?;
    let busy = at!("busy");
    let account = busy.signs_in().await?;
    rows.add(
        "50 callers at once on an expired token",
        ONE_REFRESH,
        async {
            let before = server.token_requests()?;
            let happened = busy.asked_at_once(account).await?;
            let requests = server.token_requests()? - before;
            ensure!(requests == 1, "{requests} requests at Hydra");
            Ok(format!("{happened}; Hydra counts 1 request"))
        }
        .await,
    );

    server
        .set_lives("1h", &format!("{}s", SHORT.as_secs()))
        .await?;
    let expired = at!("expired");
    let account = expired.signs_in().await?;
    server.set_lives("1h", "720h").await?;
    rows.add(
        "refresh token expired",
        DEAD,
        async {
            tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
            expired.is_refused(account, &ASKED, true).await
        }
        .await,
    );
    rows.add("and its way back", BACK, expired.comes_back(account).await);

    let ended = at!("ended");
    let account = ended.signs_in().await?;
    rows.add(
        "session logged out by an administrator",
        "the grant lives: Hydra's sessions are not its grants",
        async {
            server.log_out("ended").await?;
            ended.refreshes(account, 1).await
        }
        .await,
    );

    let consent = at!("consent");
    let account = consent.signs_in().await?;
    rows.add(
        "consent revoked (also: user disabled or deleted)",
        DEAD,
        async {
            server.revoke_consent("consent").await?;
            consent.is_refused(account, &ASKED, true).await
        }
        .await,
    );
    rows.add("and its way back", BACK, consent.comes_back(account).await);

    let keys = at!("keys");
    rows.add(
        "signing keys rotated",
        KEYS,
        async {
            let account = keys.signs_in().await?;
            server.rotate_keys().await?;
            keys.comes_back(account).await?;
            server.rotate_keys().await?;
            keys.comes_back(account).await?;
            keys.refreshes(account, 1).await?;
            Ok("two changes, a sign-in after each, a refresh".to_owned())
        }
        .await,
    );

    let account = at!("away").signs_in().await?;
    server.stop();
    let told = at!("away").is_refused(account, &OUTAGE, false).await;
    server.set_grace(Grace::Minute);
    server.start().await?;
    let away = at!("away");
    rows.add(
        "restart",
        UNTOUCHED,
        async {
            let told = told?;
            desk.refreshed_again(account).await?;
            away.refreshes(account, 1).await?;
            Ok(format!("{told}; served again"))
        }
        .await,
    );

    // From here on a replaced token is good for a minute.
    let grace = at!("grace");
    let account = grace.signs_in().await?;
    rows.add(
        "rotation with grace, an answer was lost",
        "healed",
        async {
            grace.lost_answer(account).await?;
            grace.refreshes(account, 1).await
        }
        .await,
    );

    let account = away.signs_in().await?;
    server.silence();
    let happened = away
        .outage(account, &OUTAGE, async || {
            server.resume();
            Ok(())
        })
        .await;
    server.resume();
    rows.add("silence (SIGSTOP)", UNTOUCHED, happened);

    let leaving = at!("leaving");
    rows.add(
        "disconnect",
        GONE,
        async {
            let account = leaving.signs_in().await?;
            leaving.disconnects(account).await
        }
        .await,
    );

    // Last: every grant goes with the client.
    let client = at!("client");
    let account = client.signs_in().await?;
    rows.add(
        "client deleted",
        "the operator is told, the grant lives",
        async {
            server.delete_client().await?;
            client.is_refused(account, &CLIENT, false).await
        }
        .await,
    );
    server.prepare().await?;
    rows.add(
        "and its way back",
        "made again it serves new sign-ins; the former grant went with it",
        async {
            let refused = eventually("the client is accepted again", async || {
                Ok(match desk.refresh(account).await? {
                    Err(refusal) if CLIENT.contains(&refusal.reason.as_str()) => None,
                    other => Some(other.map(|_| ()).map_err(|refusal| refusal.reason)),
                })
            })
            .await?;
            let back = client.comes_back(account).await?;
            Ok(format!("{refused:?}, then {back}"))
        }
        .await,
    );
    Ok(())
}

fn short(account: Uuid) -> String {
    account.simple().to_string().split_off(24)
}

const _: () = assert!(PATIENCE.as_secs() > SHORT.as_secs());
