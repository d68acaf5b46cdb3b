//! Refusals by the policy (R36): for each method, and what they do not reveal.

use latchkey_demo_provider::Flavour;
use latchkey_domain::AccountId;
use latchkey_proto::token::GetAccessTokenRequest;
use latchkey_proto::token::access_token_result::Result as Outcome;
use tonic::{Code, Status};

use crate::support::{
    Account, Audited, Client, MAIL, PolicyFile, Token, World, asking, eventually, everything,
    mail_of, next, reason, refusal, rule,
};

/// One account that the caller may use, and others that it may not use.
struct Accounts {
    own: Account,
    of_another_workspace: Account,
    of_another_provider: Account,
}

impl Accounts {
    /// Creates the accounts and a policy that allows one of them with these methods.
    async fn create(world: &World, policy: &PolicyFile, methods: &str) -> Self {
        let valid = Token::Expires(3000);
        let accounts = Self {
            own: world.connect(Flavour::Google, "ada", valid).await,
            of_another_workspace: world.connect(Flavour::Google, "ada", valid).await,
            of_another_provider: world.connect(Flavour::Oidc, "ada", valid).await,
        };
        let workspace = accounts.own.binding.workspace;
        sqlx::query("UPDATE vault.credential SET workspace_id = $1 WHERE account_id = $2")
            .bind(workspace.as_uuid())
            .bind(accounts.of_another_provider.id.as_uuid())
            .execute(world.pool())
            .await
            .unwrap();
        policy.write(&rule(
            "[\"test-client\"]",
            methods,
            "[\"google\"]",
            &format!("[\"{workspace}\"]"),
            "[\"mail.read\"]",
        ));
        accounts
    }

    fn foreign(&self) -> [AccountId; 3] {
        [
            self.of_another_workspace.id,
            self.of_another_provider.id,
            AccountId::generate(),
        ]
    }

    /// Expected audit records: the own account was given, these were refused.
    fn expected(&self, foreign: [AccountId; 3]) -> Vec<Audit> {
        let given = (Some(self.own.id.as_uuid()), "GIVEN".to_owned());
        let refused = foreign.map(|account| (Some(account.as_uuid()), "REFUSED".to_owned()));
        std::iter::once(given).chain(refused).collect()
    }
}

/// Account and outcome of a record.
type Audit = (Option<uuid::Uuid>, String);

fn outcomes(rows: &[Audited], method: &str) -> Vec<Audit> {
    assert!(rows.iter().all(|row| row.method == method), "{rows:?}");
    let mut outcomes: Vec<_> = rows
        .iter()
        .map(|row| (row.account_id, row.outcome.clone()))
        .collect();
    outcomes.sort();
    outcomes
}

// R36
#[tokio::test]
async fn each_request_of_a_batch_is_authorized_and_audited_separately() {
    let policy = PolicyFile::new("");
    let world = World::new().await.with_policy(&policy);
    let accounts = Accounts::create(&world, &policy, "[\"BatchGetAccessTokens\"]").await;
    let (_replica, client) = world.served().await;
    let wider = GetAccessTokenRequest {
        required_scopes: vec!["calendar.read".to_owned()],
        ..asking(&accounts.own.id)
    };
    let mut requests = vec![asking(&accounts.own.id), wider];
    let foreign = accounts.foreign();
    requests.extend(foreign.iter().map(asking));

    let results = client.batch(requests).await.unwrap();

    let answers: Vec<String> = results
        .into_iter()
        .map(|result| match result.result.unwrap() {
            Outcome::Token(token) => token.account_id,
            Outcome::Error(error) => {
                assert_eq!(Code::from(error.code), Code::PermissionDenied);
                reason(&error)
            }
        })
        .collect();
    let refused = "CALLER_NOT_ALLOWED";
    let own = accounts.own.id.to_string();
    assert_eq!(answers, [&own, refused, refused, refused, refused]);
    let rows = world.audited(5).await;
    let mut expected = accounts.expected(foreign);
    // Refused before an account was looked up.
    expected.push((None, "REFUSED".to_owned()));
    expected.sort();
    assert_eq!(outcomes(&rows, "BatchGetAccessTokens"), expected);
}

// R36
#[tokio::test]
async fn a_watch_on_an_account_outside_the_policy_is_refused_and_audited() {
    let policy = PolicyFile::new("");
    let world = World::new().await.with_policy(&policy);
    let accounts = Accounts::create(&world, &policy, "[\"WatchAccount\"]").await;
    let (_replica, client) = world.served().await;

    let mut stream = client.watch(accounts.own.id).await.unwrap();
    assert!(next(&mut stream).await.token.is_some());
    let foreign = accounts.foreign();
    for account in foreign {
        let refused = refusal(client.watch(account).await.map(drop));
        assert_eq!(refused.code, Code::PermissionDenied);
        assert_eq!(refused.reason, "CALLER_NOT_ALLOWED");
    }

    let rows = world.audited(4).await;
    let mut expected = accounts.expected(foreign);
    expected.sort();
    assert_eq!(outcomes(&rows, "WatchAccount"), expected);
}

// R36
#[tokio::test]
async fn a_method_that_no_rule_allows_is_refused_before_its_request_is_read() {
    let policy = PolicyFile::new("");
    let world = World::new().await.with_policy(&policy);
    let accounts = Accounts::create(&world, &policy, "[\"GetAccessToken\"]").await;
    let (_replica, client) = world.served().await;
    let id = accounts.own.id;

    let refusals = [
        refusal(client.batch(vec![asking(&id)]).await),
        refusal(client.watch(id).await.map(drop)),
        refusal(client.refused(id, 1).await),
        refusal(client.revoke(id).await),
    ];

    for refused in refusals {
        assert_eq!(refused.reason, "CALLER_NOT_ALLOWED");
    }
    let rows = world.audited(4).await;
    let methods: Vec<&str> = rows.iter().map(|row| row.method.as_str()).collect();
    assert_eq!(
        methods,
        [
            "BatchGetAccessTokens",
            "WatchAccount",
            "RefreshAccessToken",
            "RevokeAccount"
        ]
    );
    assert!(
        rows.iter()
            .all(|row| row.reason.as_deref() == Some("method"))
    );
    assert!(client.get(id).await.is_ok());
}

/// Scans of `vault.credential` so far, by backends that have ended.
async fn lookups(world: &World) -> i64 {
    eventually(async || {
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE usename = 'refresh_svc' AND datname = current_database()",
        )
        .fetch_one(world.pool())
        .await
        .unwrap();
        (left == 0).then_some(())
    })
    .await;
    sqlx::query_scalar(
        "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_all_tables
         WHERE relid = 'vault.credential'::regclass",
    )
    .fetch_one(world.pool())
    .await
    .unwrap()
}

// R36: neither the answer nor the work done for it reveals whether the account exists.
#[tokio::test]
async fn an_account_outside_the_policy_and_a_missing_one_are_indistinguishable() {
    const ASKED: i64 = 20;
    let policy = PolicyFile::new("");
    let world = World::new().await.with_policy(&policy);
    let own = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let remembered = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    let stored = world
        .connect(Flavour::Google, "ada", Token::Expires(3000))
        .await;
    policy.write(&format!(
        "{}{}",
        mail_of(&own.binding.workspace.to_string()),
        everything("test-client")
    ));
    let files = world
        .certificates
        .authority()
        .client_with_id("mail", MAIL)
        .unwrap();

    let mut seen = Vec::new();
    for asked in [remembered.id, stored.id, AccountId::generate()] {
        let before = lookups(&world).await;
        let replica = world.replica();
        // One of the accounts is cached for a caller that may use it.
        let all = replica.client(&world.certificates).await;
        all.get(remembered.id).await.unwrap();
        let mail = Client::of(replica.grpc, &world.certificates, &files);
        let mut answers = Vec::new();
        for _ in 0..ASKED {
            let status: Status = mail.get(asked).await.unwrap_err();
            let words = status.message().to_owned();
            answers.push((status.code(), words, status.details().to_vec()));
        }
        drop((all, mail));
        replica.stop().await;
        seen.push((lookups(&world).await - before, answers));
    }
    assert!(seen[0].0 >= ASKED, "{seen:?}");
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[1], seen[2]);
}
