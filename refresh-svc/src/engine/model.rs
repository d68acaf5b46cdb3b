//! A model test of refreshes: the real engine and SQL, a scripted strict provider, and
//! replicas that stop, crash, lose their database and return at every point where they
//! wait.
//!
//! After every step: no refresh token is sent twice outside the window of a crash. At
//! rest: every caller was answered, the stored token is the provider's newest one, and
//! no caller gets a token of a dead or erased grant.
//!
//! The steps come from a fixed seed. `LATCHKEY_MODEL_STEPS=1000000` runs the long form
//! and `LATCHKEY_MODEL_SEED` another seed. A step mostly waits, so
//! `LATCHKEY_MODEL_WORLDS=12` distributes the steps over that many databases, each with
//! the next seed.

mod provider;
mod replica;
mod world;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use provider::Behaviour;
use replica::Fault;
use world::{Case, World};

/// Replicas of a deployment.
const REPLICAS: usize = 3;
/// Steps in the life of one account.
const LIFE: usize = 60;
/// Steps of the short form.
const SHORT: u64 = 600;
/// Default seed of both forms.
const SEED: u64 = 20_261_126;

/// A step of the model.
#[derive(Debug, Clone)]
enum Step {
    /// A caller asks a replica for a token.
    Ask(usize),
    /// The access token expires.
    Expire,
    /// The provider handles the request that waits longest.
    Provider(Behaviour),
    /// A fault occurs at the next statement of a replica.
    Database(usize, Fault),
    /// The hanging statement fails.
    LetGo(usize),
    /// SIGKILL; another process replaces it on demand.
    Kill(usize),
    /// SIGTERM.
    Stop(usize),
    /// A process replaces one that was killed or is stopping.
    Start(usize),
    /// The person signs in again.
    SignIn,
    /// The account is disconnected.
    Revoke(usize),
    /// Back-offs and the leases of dead processes end.
    Later,
    /// Time passes for running work.
    Pass(u64),
    /// Everything comes to rest, and the invariants are checked.
    Rest,
}

fn step() -> impl Strategy<Value = Step> {
    let replica = 0..REPLICAS;
    prop_oneof![
        20 => replica.clone().prop_map(Step::Ask),
        12 => Just(Step::Expire),
        20 => provider::behaviour().prop_map(Step::Provider),
        6 => (replica.clone(), replica::fault()).prop_map(|(at, fault)| Step::Database(at, fault)),
        3 => replica.clone().prop_map(Step::LetGo),
        2 => replica.clone().prop_map(Step::Kill),
        1 => replica.clone().prop_map(Step::Stop),
        1 => replica.clone().prop_map(Step::Start),
        6 => Just(Step::SignIn),
        1 => replica.prop_map(Step::Revoke),
        6 => Just(Step::Later),
        16 => (0u64..4).prop_map(Step::Pass),
        2 => Just(Step::Rest),
    ]
}

/// Any step may follow any other: an impossible one does nothing.
struct AnyOrder;

impl ReferenceStateMachine for AnyOrder {
    type State = ();
    type Transition = Step;

    fn init_state() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn transitions(&(): &()) -> BoxedStrategy<Step> {
        step().boxed()
    }

    fn apply((): (), _: &Step) {}
}

thread_local! {
    /// The database and the provider of this run.
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

struct Model;

impl StateMachineTest for Model {
    type SystemUnderTest = Case;
    type Reference = AnyOrder;

    fn init_test(&(): &()) -> Case {
        let world = WORLD.with_borrow(Clone::clone).unwrap();
        Case::begin(world)
    }

    fn apply(mut case: Case, &(): &(), step: Step) -> Case {
        match step {
            Step::Ask(at) => case.ask(at),
            Step::Expire => case.expire(),
            Step::Provider(behaviour) => case.provider(behaviour),
            Step::Database(at, fault) => case.fault(at, fault),
            Step::LetGo(at) => case.let_go(at),
            Step::Kill(at) => case.kill(at),
            Step::Stop(at) => case.stop(at),
            Step::Start(at) => case.start(at),
            Step::SignIn => case.sign_in(),
            Step::Revoke(at) => case.revoke(at),
            Step::Later => case.later(),
            Step::Pass(millis) => std::thread::sleep(Duration::from_millis(millis)),
            Step::Rest => case.rest(),
        }
        case.no_violation();
        case
    }

    fn teardown(mut case: Case, (): ()) {
        case.rest();
        case.no_violation();
        case.end();
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one life after the other. Returns what the provider counted.
///
/// # Errors
/// The shortest sequence of steps that violates an invariant.
fn run(lives: u32, seed: u64) -> Result<String, String> {
    let config = Config {
        rng_seed: RngSeed::Fixed(seed),
        cases: lives,
        failure_persistence: None,
        max_shrink_iters: 40,
        ..Config::default()
    };
    let world = World::start();
    WORLD.set(Some(Arc::clone(&world)));
    let outcome = TestRunner::new(config.clone()).run(
        &AnyOrder::sequential_strategy(LIFE),
        |(state, steps, seen)| {
            Model::test_sequential(config.clone(), state, steps, seen);
            Ok(())
        },
    );
    WORLD.set(None);
    let counts = world.counts();
    outcome
        .map(|()| format!("{lives} lives of {LIFE} steps, seed {seed}; {counts}"))
        .map_err(|failure| format!("seed {seed}: {failure}"))
}

// R31, R33, R34, R37.
#[test]
fn no_order_of_events_sends_a_refresh_token_twice_or_loses_one() {
    let seed = number("LATCHKEY_MODEL_SEED").unwrap_or(SEED);
    let steps = number("LATCHKEY_MODEL_STEPS").unwrap_or(SHORT);
    let worlds = number("LATCHKEY_MODEL_WORLDS").unwrap_or(1);
    let life = u64::try_from(LIFE).unwrap();
    let lives = u32::try_from(steps.div_ceil(life * worlds)).unwrap();
    let begun = Instant::now();
    let running: Vec<_> = (0..worlds)
        .map(|world| std::thread::spawn(move || run(lives, seed + world)))
        .collect();
    let outcomes: Vec<_> = running
        .into_iter()
        .map(|world| world.join().unwrap())
        .collect();
    for counts in outcomes.iter().flatten() {
        eprintln!("{counts}");
    }
    eprintln!(
        "{} steps, {:?}",
        u64::from(lives) * life * worlds,
        begun.elapsed()
    );
    let failures: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
