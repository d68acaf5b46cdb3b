//! The life of one account over the replicas of a deployment.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use latchkey_domain::{
    AccessToken, AccountId, Clock as _, GrantBinding, RefreshToken, SystemClock, UserId,
    WorkspaceId,
};
use latchkey_opening::{OpeningKey, OpeningKeys};
use latchkey_providers::FailureClass;
use latchkey_testkit::{Role, TestDatabase};
use sqlx::PgPool;
use sync_svc::grant::{Grant, Intent, SealedGrant};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::super::{EngineError, Revoked};
use super::REPLICAS;
use super::provider::{Behaviour, Scripted};
use super::replica::{Answer, Fault, Replica};
use crate::store::Holder;

/// Everything comes to rest within this time: a replica may wait until a lease expires
/// whose holder lost it.
const PATIENCE: Duration = Duration::from_mins(5);

/// How often a token of a dead or erased grant is requested.
const MAX_ATTEMPTS: usize = 10;

/// Milliseconds that a request may take to arrive.
const REQUEST: usize = 30;

const HANDLE: &str = "ada@acme.example";

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all lives share.
pub(super) struct World {
    runtime: Runtime,
    database: OnceLock<TestDatabase>,
    url: String,
    provider: Scripted,
    keys: OpeningKeys,
    /// Processes that continue in the next life.
    living: Mutex<Vec<Option<Replica>>>,
}

impl World {
    pub(super) fn start() -> Arc<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (database, provider) =
            runtime.block_on(async { (TestDatabase::create().await, Scripted::start().await) });
        Arc::new(Self {
            runtime,
            url: database.url(Role::Refresh),
            database: OnceLock::from(database),
            provider,
            keys: OpeningKey::generate().unwrap().into(),
            living: Mutex::default(),
        })
    }

    fn pool(&self) -> &PgPool {
        self.database.get().unwrap().pool()
    }

    pub(super) fn counts(&self) -> String {
        let (refreshes, revocations) = self.provider.counts();
        format!("{refreshes} refreshes and {revocations} revocations at the provider")
    }
}

/// A revocation that is running or has ended.
struct Revocation {
    task: JoinHandle<Result<Revoked, EngineError>>,
    process: String,
    /// Number of sign-ins when it began.
    sign_ins: usize,
    token: String,
}

/// Columns of the row.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    sealed_refresh_token: Option<Vec<u8>>,
    dead: bool,
    erased: bool,
    revoked_at_provider: bool,
    failure_class: Option<String>,
}

/// One account.
pub(super) struct Case {
    world: Arc<World>,
    account: AccountId,
    binding: GrantBinding,
    replicas: Vec<Option<Replica>>,
    /// Holders of killed processes.
    dead: Vec<Arc<Holder>>,
    callers: Vec<JoinHandle<Answer>>,
    revocations: Vec<Revocation>,
    sign_ins: usize,
    /// First refresh token of the last sign-in.
    newest: String,
}

impl Case {
    pub(super) fn begin(world: Arc<World>) -> Self {
        let binding = GrantBinding {
            workspace: WorkspaceId::generate(),
            user: UserId::generate(),
            provider: "model".parse().unwrap(),
            issuer: world.provider.issuer().parse().unwrap(),
            subject: "100".parse().unwrap(),
        };
        let living = std::mem::take(&mut *locked(&world.living));
        let mut replicas: Vec<Option<Replica>> = living;
        replicas.resize_with(REPLICAS, || None);
        let mut case = Self {
            account: AccountId::generate(),
            binding,
            replicas,
            dead: Vec::new(),
            callers: Vec::new(),
            revocations: Vec::new(),
            sign_ins: 0,
            newest: String::new(),
            world,
        };
        case.sign_in();
        case.expire();
        case
    }

    /// Hands the running processes to the next life.
    pub(super) fn end(mut self) {
        for at in 0..REPLICAS {
            if self.replicas[at].as_ref().is_some_and(|one| one.stopping) {
                self.kill(at);
            }
        }
        *locked(&self.world.living) = std::mem::take(&mut self.replicas);
    }

    fn replica(&mut self, at: usize) -> &Replica {
        let world = &self.world;
        self.replicas[at]
            .get_or_insert_with(|| Replica::start(&world.url, &world.provider, &world.keys))
    }

    pub(super) fn ask(&mut self, at: usize) {
        let account = self.account;
        let caller = self.replica(at).ask(account);
        self.callers.push(caller);
    }

    pub(super) fn fault(&mut self, at: usize, fault: Fault) {
        self.replica(at).faults.inject(Some(fault));
    }

    pub(super) fn let_go(&mut self, at: usize) {
        if let Some(replica) = &self.replicas[at] {
            replica.faults.let_go();
        }
    }

    pub(super) fn kill(&mut self, at: usize) {
        if let Some(replica) = self.replicas[at].take() {
            let name = replica.name.clone();
            self.dead.push(Arc::clone(&replica.engine.holder));
            replica.kill();
            let stored = self.stored(&self.row());
            self.world.provider.killed(&name, stored.as_deref());
        }
    }

    pub(super) fn stop(&mut self, at: usize) {
        if let Some(replica) = &mut self.replicas[at] {
            replica.engine.begin_shutdown();
            replica.stopping = true;
        }
    }

    /// A stopping process is killed, as after its grace period.
    pub(super) fn start(&mut self, at: usize) {
        if self.replicas[at]
            .as_ref()
            .is_some_and(|replica| replica.stopping)
        {
            self.kill(at);
        }
        self.replica(at);
    }

    /// Waits for a request if one may arrive.
    pub(super) fn provider(&mut self, behaviour: Behaviour) {
        for _ in 0..REQUEST {
            let waits = self.callers.iter().any(|caller| !caller.is_finished())
                || self.revocations.iter().any(|one| !one.task.is_finished());
            if self.world.provider.act(behaviour) || !waits {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(super) fn expire(&mut self) {
        let query = sqlx::query(
            "UPDATE vault.credential SET access_token_expires_at = now() - interval '1 s'
             WHERE account_id = $1",
        )
        .bind(self.account.as_uuid());
        let world = Arc::clone(&self.world);
        world.runtime.block_on(query.execute(world.pool())).unwrap();
    }

    /// Time passes: back-offs end, circuit breakers close, the database is considered up
    /// again, and the leases of processes that died or lost them end.
    pub(super) fn later(&mut self) {
        for replica in self.replicas.iter().flatten() {
            replica.engine.parts.cache.database_up();
            replica.engine.parts.upstreams.close_circuits();
        }
        self.revocations
            .retain(|one| !one.task.is_finished() || one.sign_ins == self.sign_ins);
        let account = self.account.as_uuid();
        let world = Arc::clone(&self.world);
        // In this order: a lease acquired meanwhile has a newer epoch and stays.
        let query = sqlx::query_as(
            "SELECT lease_epoch, lease_holder FROM vault.credential WHERE account_id = $1",
        );
        let (epoch, holder): (i64, Option<Uuid>) = world
            .runtime
            .block_on(query.bind(account).fetch_one(world.pool()))
            .unwrap();
        let took = |one: &Arc<Holder>| holder.is_some_and(|holder| one.made(holder));
        let living = self.replicas.iter().flatten();
        let is_held = match living.into_iter().find(|one| took(&one.engine.holder)) {
            Some(process) => process.engine.is_busy(),
            None if self.dead.iter().any(took) => false,
            // A revocation acquires a lease with a holder of its own.
            None => self.revocations.iter().any(|one| self.is_under_way(one)),
        };
        let query = sqlx::query(
            "UPDATE vault.credential
             SET retry_after = CASE WHEN retry_after IS NOT NULL THEN now() END,
                 lease_until = CASE WHEN $2 OR lease_epoch <> $3 THEN lease_until
                     WHEN lease_until IS NOT NULL THEN now() END
             WHERE account_id = $1",
        )
        .bind(account)
        .bind(is_held)
        .bind(epoch);
        world.runtime.block_on(query.execute(world.pool())).unwrap();
    }

    fn is_under_way(&self, revocation: &Revocation) -> bool {
        let lives = self
            .replicas
            .iter()
            .flatten()
            .any(|replica| replica.name == revocation.process);
        lives && !revocation.task.is_finished()
    }

    /// Stores a grant as sync-svc does.
    pub(super) fn sign_in(&mut self) {
        let world = Arc::clone(&self.world);
        let token = world.provider.sign_in();
        let key = world.keys.sealing_key();
        let now = SystemClock.now();
        let sealed = SealedGrant {
            access_token: key
                .seal_access_token(&AccessToken::new("access"), &self.binding)
                .unwrap()
                .into_bytes(),
            access_token_expires_at: Some(now + Duration::from_hours(1)),
            refresh_token: Some(
                key.seal_refresh_token(&RefreshToken::new(token.as_str()), &self.binding)
                    .unwrap()
                    .into_bytes(),
            ),
            refresh_token_expires_at: None,
            client_id: None,
        };
        let grant = Grant {
            authenticated_at: now,
            scopes: ["mail.read"].into_iter().collect(),
            has_refresh_token: true,
            intent: Intent::Connect,
        };
        let connected = sync_svc::store::account::Account {
            id: self.account,
            binding: self.binding.clone(),
            handle: HANDLE.to_owned(),
            vouched_handle: Some(HANDLE.to_owned()),
            display_name: String::new(),
            connected_at: now,
            disconnected_at: None,
        };
        world.runtime.block_on(async {
            let mut connection = world.pool().acquire().await.unwrap();
            sync_svc::store::credential::replace(&mut connection, &connected, &sealed, &grant)
                .await
                .unwrap();
        });
        self.newest = token;
        self.sign_ins += 1;
    }

    pub(super) fn revoke(&mut self, at: usize) {
        let (account, sign_ins, token) = (self.account, self.sign_ins, self.newest.clone());
        let replica = self.replica(at);
        let revocation = Revocation {
            task: replica.revoke(account),
            process: replica.name.clone(),
            sign_ins,
            token,
        };
        self.revocations.push(revocation);
    }

    pub(super) fn no_violation(&self) {
        let violations = self.world.provider.violations();
        assert!(violations.is_empty(), "{violations:#?}");
    }

    /// Releases everything until nothing waits, then checks the invariants.
    pub(super) fn rest(&mut self) {
        let begun = Instant::now();
        loop {
            for replica in self.replicas.iter().flatten() {
                replica.faults.inject(None);
                replica.faults.let_go();
            }
            self.later();
            while self.world.provider.act(Behaviour::Serve) {}
            let waits = self.callers.iter().any(|caller| !caller.is_finished())
                || self.revocations.iter().any(|one| !one.task.is_finished())
                || self
                    .replicas
                    .iter()
                    .flatten()
                    .any(|one| one.engine.is_busy());
            if !waits && self.world.provider.is_idle() {
                break;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "not all callers were answered: {:?}",
                self.row()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        self.check_invariants();
    }

    fn row(&self) -> Row {
        let query = sqlx::query_as(
            "SELECT sealed_refresh_token, auth_failed_at IS NOT NULL AS dead,
                    erased_at IS NOT NULL AS erased, revoked_at_provider, failure_class
             FROM vault.credential WHERE account_id = $1",
        )
        .bind(self.account.as_uuid());
        let world = &self.world;
        world
            .runtime
            .block_on(query.fetch_one(world.pool()))
            .unwrap()
    }

    fn stored(&self, row: &Row) -> Option<String> {
        row.sealed_refresh_token.as_ref().map(|sealed| {
            let opened = self.world.keys.open_refresh_token(sealed, &self.binding);
            opened.unwrap().expose().to_owned()
        })
    }

    /// The invariants at rest.
    fn check_invariants(&mut self) {
        let row = self.row();
        let provider = self.world.provider.clone();
        let mut erased_by_revocation = false;
        for revocation in std::mem::take(&mut self.revocations) {
            let outcome = self.world.runtime.block_on(revocation.task);
            // A killed process reports nothing.
            let Ok(Ok(revoked)) = outcome else {
                continue;
            };
            if revocation.sign_ins == self.sign_ins {
                erased_by_revocation = true;
                let lives = provider.lives(&revocation.token);
                assert!(
                    !(revoked.at_provider && lives),
                    "revoked, and a token lives on"
                );
            }
        }
        for caller in std::mem::take(&mut self.callers) {
            let outcome = self.world.runtime.block_on(caller);
            assert!(
                !outcome.is_err_and(|error| error.is_panic()),
                "a call panicked"
            );
        }
        if erased_by_revocation {
            assert!(
                row.erased,
                "a revocation succeeded, and the grant is there: {row:?}"
            );
        }
        let stored = self.stored(&row);
        if row.erased {
            assert_eq!(stored, None);
            let lives = provider.lives(&self.newest);
            assert!(
                !(row.revoked_at_provider && lives),
                "erased as revoked, and a token lives on"
            );
        } else {
            let stored = stored.unwrap();
            assert!(
                provider.same_grant(&stored, &self.newest),
                "an older sign-in came back"
            );
            let lost = provider.lost(&stored);
            if row.dead {
                assert!(
                    !provider.works(&stored) || lost || provider.given_up(&stored),
                    "a grant that works is dead: {row:?}"
                );
                let told = row.failure_class.as_deref();
                assert_ne!(told, Some(FailureClass::NoRefreshToken.reason()));
            } else {
                let newest = provider.works(&stored) || !provider.lives(&stored);
                assert!(
                    newest || lost,
                    "the stored token is not the provider's newest: {row:?}"
                );
            }
        }
        self.ask_once(&row);
    }

    /// A token is answered if and only if the grant is alive.
    fn ask_once(&mut self, row: &Row) {
        let at = self
            .replicas
            .iter()
            .position(|replica| replica.as_ref().is_some_and(|replica| !replica.stopping))
            .unwrap_or_else(|| {
                self.kill(0);
                0
            });
        let mut answer = self.answer_of(at);
        // If the database does not answer at once on a busy machine, a valid token is
        // answered from the cache.
        for _ in 0..MAX_ATTEMPTS {
            if answer.is_err() || !(row.erased || row.dead) {
                break;
            }
            answer = self.answer_of(at);
        }
        match answer {
            Ok(snapshot) => {
                assert!(!row.erased && !row.dead, "a token was given: {row:?}");
                assert!(snapshot.valid_token(SystemClock.now()).is_some());
            }
            Err(EngineError::AccountNotFound) => assert!(row.erased, "{row:?}"),
            Err(EngineError::NoToken { class, .. }) => {
                let lost = provider_lost(&self.world.provider, &self.newest);
                assert!(
                    row.dead || lost,
                    "{class:?} for a grant that works: {row:?}"
                );
            }
            Err(error) => panic!("{error}: {row:?}"),
        }
        let world = Arc::clone(&self.world);
        while self
            .replicas
            .iter()
            .flatten()
            .any(|one| one.engine.is_busy())
        {
            world.provider.act(Behaviour::Serve);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    /// Answer of one replica after time has passed.
    fn answer_of(&mut self, at: usize) -> Answer {
        self.later();
        let account = self.account;
        let mut caller = self.replica(at).ask(account);
        let world = Arc::clone(&self.world);
        let begun = Instant::now();
        while !caller.is_finished() {
            world.provider.act(Behaviour::Serve);
            assert!(begun.elapsed() < PATIENCE, "a caller was not answered");
            std::thread::sleep(Duration::from_millis(1));
        }
        world.runtime.block_on(&mut caller).unwrap()
    }
}

/// Returns `true` if the grant is dead at the provider or its tokens were lost.
fn provider_lost(provider: &Scripted, token: &str) -> bool {
    provider.lost(token) || !provider.lives(token)
}
