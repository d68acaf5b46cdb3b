//! R32: every known kind of answer of a token endpoint, with its verdict and its effect
//! on grant, circuit breaker and stored tokens. `docs/verdicts.md` has the table;
//! `UPDATE_DOCS=1` writes it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use futures::StreamExt as _;
use latchkey_demo_provider::{Flavour, SampleResponse};
use latchkey_domain::{AccountId, GrantBinding, UserId, WorkspaceId};

use crate::support::{Account, Client, Token, World, logged, refusal};

/// State of the grant afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grant {
    Lives,
    Dead,
}

/// State of the provider's circuit breaker after three accounts got this answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Circuit {
    Closed,
    Open,
}

/// State of the stored refresh token afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Kept,
    Rotated,
}

use Circuit::{Closed, Open};
use Grant::{Dead, Lives};
use Stored::{Kept, Rotated};

/// Sample response, reason or `TOKEN`, grant, circuit breaker, refresh token.
type Row = (&'static str, &'static str, Grant, Circuit, Stored);

#[rustfmt::skip]
const EXPECTED: &[Row] = &[
    ("rfc_invalid_grant", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("invalid_grant_under_200", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("invalid_grant_under_401", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("invalid_grant_and_more", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("invalid_grant_in_capitals", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("invalid_grant_nested", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("invalid_grant_listed", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("invalid_grant_after_a_mark", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("invalid_grant_as_a_form", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("invalid_token_under_400", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("invalid_token_under_401", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("bad_refresh_token_under_400", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("github_as_a_form", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("github_as_json", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("slack_invalid_refresh_token", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("slack_token_revoked", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("hubspot_bad_refresh_token", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("salesforce_expired", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("auth0_unknown_token", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("okta_expired", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("keycloak_session_not_active", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("keycloak_stale_token", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("keycloak_reuse", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("dex_claimed", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("dex_expired", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("hydra_token_inactive", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("zitadel_refresh_token_invalid", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("linkedin_revoked", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("google_revoked", "INVALID_REFRESH_TOKEN", Dead, Closed, Kept),
    ("google_rapt", "REAUTH_POLICY", Dead, Closed, Kept),
    ("auth0_mfa_required", "INTERACTION_REQUIRED", Dead, Closed, Kept),
    ("interaction_required", "INTERACTION_REQUIRED", Dead, Closed, Kept),
    ("consent_required", "CONSENT_REQUIRED", Dead, Closed, Kept),
    ("keycloak_consent_withdrawn", "CONSENT_REQUIRED", Dead, Closed, Kept),
    ("keycloak_user_disabled", "ACCOUNT_DISABLED", Lives, Closed, Kept),
    ("keycloak_not_allowed", "BLOCKED_BY_ADMIN", Lives, Closed, Kept),
    ("okta_policy", "BLOCKED_BY_ADMIN", Lives, Closed, Kept),
    ("auth0_user_blocked", "ACCOUNT_DISABLED", Lives, Closed, Kept),
    ("google_account_deleted", "ACCOUNT_DISABLED", Lives, Closed, Kept),
    ("google_admin_policy", "BLOCKED_BY_ADMIN", Lives, Closed, Kept),
    ("slack_account_inactive", "ACCOUNT_DISABLED", Lives, Closed, Kept),
    ("salesforce_inactive_user", "ACCOUNT_DISABLED", Lives, Closed, Kept),
    ("dex_person_gone", "UNKNOWN", Lives, Closed, Kept),
    ("slack_not_ok", "UNKNOWN", Lives, Closed, Kept),
    ("unknown_word_under_400", "UNKNOWN", Lives, Closed, Kept),
    ("unknown_word_under_401", "UNKNOWN", Lives, Closed, Kept),
    ("unknown_word_under_200", "UNKNOWN", Lives, Closed, Kept),
    ("google_permission_denied", "UNKNOWN", Lives, Closed, Kept),
    ("json_under_422", "UNKNOWN", Lives, Closed, Kept),
    ("invalid_client", "CLIENT_MISCONFIGURED", Lives, Open, Kept),
    ("unauthorized_client", "CLIENT_MISCONFIGURED", Lives, Open, Kept),
    ("google_deleted_client", "CLIENT_MISCONFIGURED", Lives, Open, Kept),
    ("keycloak_realm_gone", "CLIENT_MISCONFIGURED", Lives, Open, Kept),
    ("json_under_401", "UNAUTHORIZED", Lives, Open, Kept),
    ("invalid_request", "REQUEST_REJECTED", Lives, Closed, Kept),
    ("unsupported_grant_type", "REQUEST_REJECTED", Lives, Closed, Kept),
    ("invalid_scope", "SCOPE_INVALID", Lives, Closed, Kept),
    ("keycloak_realm_disabled", "PROVIDER_UNAVAILABLE", Lives, Open, Kept),
    ("dex_down", "PROVIDER_UNAVAILABLE", Lives, Open, Kept),
    ("temporarily_unavailable", "PROVIDER_UNAVAILABLE", Lives, Open, Kept),
    ("framework_500", "PROVIDER_UNAVAILABLE", Lives, Open, Kept),
    ("empty_500", "PROVIDER_UNAVAILABLE", Lives, Open, Kept),
    ("page_500", "PROVIDER_UNAVAILABLE", Lives, Open, Kept),
    ("page_502", "PROVIDER_UNAVAILABLE", Lives, Open, Kept),
    ("empty_503", "PROVIDER_UNAVAILABLE", Lives, Open, Kept),
    ("empty_504", "PROVIDER_UNAVAILABLE", Lives, Open, Kept),
    ("json_under_404", "PROVIDER_UNAVAILABLE", Lives, Open, Kept),
    ("empty_408", "PROVIDER_UNAVAILABLE", Lives, Open, Kept),
    ("empty_429", "RATE_LIMIT_ERROR", Lives, Open, Kept),
    ("okta_rate_limit", "RATE_LIMIT_ERROR", Lives, Open, Kept),
    ("rate_limit_under_403", "RATE_LIMIT_ERROR", Lives, Open, Kept),
    ("slack_ratelimited", "RATE_LIMIT_ERROR", Lives, Open, Kept),
    ("page_400", "MALFORMED_RESPONSE", Lives, Open, Kept),
    ("page_403", "MALFORMED_RESPONSE", Lives, Open, Kept),
    ("page_404", "MALFORMED_RESPONSE", Lives, Open, Kept),
    ("redirect", "MALFORMED_RESPONSE", Lives, Open, Kept),
    ("page_200", "MALFORMED_RESPONSE", Lives, Open, Kept),
    ("empty_200", "MALFORMED_RESPONSE", Lives, Open, Kept),
    ("empty_204", "MALFORMED_RESPONSE", Lives, Open, Kept),
    ("no_fields", "MALFORMED_RESPONSE", Lives, Open, Kept),
    ("a_list", "MALFORMED_RESPONSE", Lives, Open, Kept),
    ("too_large", "MALFORMED_RESPONSE", Lives, Closed, Kept),
    ("only_a_refresh_token", "MALFORMED_RESPONSE", Lives, Open, Rotated),
    ("error_with_a_refresh_token", "PROVIDER_UNAVAILABLE", Lives, Open, Rotated),
    ("token_of_another_type", "MALFORMED_RESPONSE", Lives, Open, Rotated),
    ("token", "TOKEN", Lives, Closed, Kept),
    ("token_and_rotation", "TOKEN", Lives, Closed, Rotated),
    ("token_under_201", "TOKEN", Lives, Closed, Kept),
    ("token_after_a_mark", "TOKEN", Lives, Closed, Kept),
    ("token_as_a_form", "TOKEN", Lives, Closed, Kept),
    ("token_with_an_empty_scope", "TOKEN", Lives, Closed, Kept),
    ("token_with_commas", "TOKEN", Lives, Closed, Kept),
    ("token_beside_a_null_error", "TOKEN", Lives, Closed, Kept),
];

/// Number of accounts that get the answer: as many as open a circuit breaker.
const ACCOUNTS: usize = 3;

/// Each sample response has its own provider, and so its own circuit breaker.
fn provider(position: usize) -> String {
    format!("dialect{position}")
}

fn with_a_provider_for_each(world: World) -> World {
    let issuer = world.demo.issuer(Flavour::Oidc);
    let (id, secret) = (
        world.demo.client_id().to_owned(),
        world.demo.client_secret().to_owned(),
    );
    (0..EXPECTED.len()).fold(world, |world, position| {
        let prefix = format!("AUTH_OIDC_{}_", provider(position).to_uppercase());
        world
            .with(&format!("{prefix}ISSUER"), &issuer)
            .with(&format!("{prefix}CLIENT_ID"), &id)
            .with(&format!("{prefix}CLIENT_SECRET"), &secret)
    })
}

async fn account(world: &World, provider: &str) -> Account {
    let scopes = ["openid", "email", "mail.read"];
    let (access_token, refresh_token) = world.demo.grant(Flavour::Oidc, "ada", &scopes).unwrap();
    let account = Account {
        id: AccountId::generate(),
        binding: GrantBinding {
            workspace: WorkspaceId::generate(),
            user: UserId::generate(),
            provider: provider.parse().unwrap(),
            issuer: world.demo.issuer(Flavour::Oidc).parse().unwrap(),
            subject: "100000000000000000001".parse().unwrap(),
        },
        handle: "ada@acme.example".to_owned(),
        access_token,
        refresh_token,
    };
    world.insert(&account, Token::Expires(-10)).await;
    account
}

fn outcome(answer: Result<latchkey_proto::token::AccessToken, tonic::Status>) -> String {
    match answer {
        Ok(_) => "TOKEN".to_owned(),
        error => refusal(error).reason,
    }
}

/// Observes the effect of one kind of answer.
async fn observe(
    world: &World,
    client: &Client,
    position: usize,
    name: &str,
) -> (String, Grant, Stored) {
    let provider = provider(position);
    let mut first = None;
    for _ in 0..ACCOUNTS {
        let account = account(world, &provider).await;
        world
            .demo
            .respond_with_sample(&account.refresh_token, name)
            .unwrap();
        let reason = outcome(client.get(account.id).await);
        first.get_or_insert((account, reason));
    }
    let (account, reason) = first.unwrap();
    let row = world.stored(&account).await;
    assert_eq!(row.lease_holder, None, "{name}");
    let grant = if row.auth_failed_at.is_some() {
        Dead
    } else {
        Lives
    };
    let stored = if world.stored_refresh_token(&account).await == account.refresh_token {
        Kept
    } else {
        Rotated
    };
    if reason != "TOKEN" {
        // A refresh without an access token does not change the version.
        assert_eq!(row.version, 1, "{name}");
        assert_eq!(
            row.granted_scopes,
            ["openid", "email", "mail.read"],
            "{name}"
        );
    }
    (reason, grant, stored)
}

/// Providers whose circuit breaker opened, according to the log.
fn opened() -> BTreeSet<String> {
    logged()
        .lines()
        .filter(|line| line.contains(": circuit breaker changed ") && line.contains("open=true"))
        .filter_map(|line| {
            let provider = line.split("provider=").nth(1)?.split(' ').next()?;
            Some(provider.to_owned())
        })
        .collect()
}

#[tokio::test]
async fn every_answer_has_its_verdict_and_affects_nothing_else() {
    let names: Vec<_> = EXPECTED.iter().map(|row| row.0).collect();
    let all: Vec<_> = SampleResponse::ALL
        .iter()
        .map(|dialect| dialect.name)
        .collect();
    assert_eq!(names, all);
    // Hundreds of sequential refreshes would take long over one connection.
    let world = World::new().await.with("DATABASE_MAX_CONNECTIONS", "4");
    let world = with_a_provider_for_each(world);
    let (_replica, client) = world.served().await;
    let (world, client) = (&world, &client);

    let mut observed: Vec<_> =
        futures::stream::iter(EXPECTED.iter().enumerate())
            .map(|(position, row)| async move {
                (position, observe(world, client, position, row.0).await)
            })
            .buffer_unordered(8)
            .collect()
            .await;
    observed.sort_by_key(|(position, _)| *position);

    // Logged before the caller was answered.
    let opened = opened();
    for ((position, (reason, grant, stored)), row) in observed.into_iter().zip(EXPECTED) {
        let (name, expected, expected_grant, expected_circuit, expected_token) = *row;
        assert_eq!(reason, expected, "{name}");
        assert_eq!(grant, expected_grant, "{name}");
        assert_eq!(stored, expected_token, "{name}");
        let circuit = if opened.contains(&provider(position)) {
            Open
        } else {
            Closed
        };
        assert_eq!(circuit, expected_circuit, "{name}");
    }
    // If the circuit breaker stayed closed, a healthy account is served at once.
    let closed = EXPECTED
        .iter()
        .enumerate()
        .filter(|(_, row)| row.3 == Closed);
    futures::stream::iter(closed)
        .for_each_concurrent(8, |(position, row)| async move {
            let healthy = account(world, &provider(position)).await;
            let token = client.get(healthy.id).await.unwrap();
            assert_eq!(token.version, 2, "{}", row.0);
        })
        .await;
}

fn cell(text: &str) -> String {
    let text: String = text.chars().filter(|c| *c != '\u{feff}').collect();
    text.replace('|', "\\|")
}

/// Content of `docs/verdicts.md`.
fn page() -> String {
    let mut page = String::from(
        "# Verdicts on what a token endpoint answers\n\n\
         This page is written by `refresh-svc/tests/api/verdict_table.rs`, which tries every row at\n\
         a running replica. The test writes it again if `UPDATE_DOCS=1` is set.\n\n\
         Three accounts get each answer. *Grant*: whether it stays alive or the person must sign in\n\
         again. *Circuit breaker*: whether it opens; if it stays closed, the test refreshes another\n\
         account at once. *Refresh token*: what is stored afterwards.\n\n\
         | answer | status | body | verdict | grant | circuit breaker | refresh token |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (row, dialect) in EXPECTED.iter().zip(SampleResponse::ALL) {
        let body = match (dialect.body, dialect.padding) {
            ("", _) => "(empty)".to_owned(),
            (body, 0) => format!("`{}`", cell(body)),
            (body, padding) => format!("`{}` and {} KiB of spaces", cell(body), padding / 1024),
        };
        let grant = if row.2 == Dead { "dead" } else { "lives" };
        let circuit = if row.3 == Open { "opens" } else { "closed" };
        let stored = if row.4 == Rotated {
            "the new one"
        } else {
            "kept"
        };
        writeln!(
            page,
            "| {} | {} | {body} | `{}` | {grant} | {circuit} | {stored} |",
            dialect.name, dialect.status, row.1
        )
        .unwrap();
    }
    page.push_str(
        "\n## By error and description\n\n\
         The table of `crates/providers/src/classify/table.rs`, with the rows of the built-in\n\
         providers from their own files. A row with a description takes precedence over one without.\n\
         Microsoft's numbers are in `crates/providers/src/microsoft/codes.rs`.\n\n",
    );
    page.push_str(&latchkey_providers::verdict_table());
    page
}

#[test]
fn the_page_of_verdicts_is_the_table_that_is_tried() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verdicts.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/verdicts.md is not the table: UPDATE_DOCS=1"
    );
}
