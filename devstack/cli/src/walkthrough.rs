//! One sign-in from the browser's first request to a refreshed token. Each step is checked and
//! printed.

mod account;
mod route;
mod sign_in;
mod tokens;

use std::time::{Duration, Instant};

use latchkey_servers::Progress;

use crate::Stack;
use crate::message_recorder::MessageRecorder;

pub use account::{Account, Channels, account_of, channels_of};
pub use route::Route;
pub use sign_in::{
    SignIn, authorize_address, authorize_address_at, consent_and_return, sign_in, sign_in_to,
};
pub use tokens::{
    Token, get_access_token, refresh_access_token, revoke_account, selector, token_request,
};

/// The person who signs in. Their address is in the workspace's domain.
const PERSON: &str = "ada";
const HANDLE: &str = "ada@acme.example";
/// Lifetime of the first token: long enough to see it before it expires, and short enough to
/// wait for.
const SHORT_LIFETIME: Duration = Duration::from_secs(8);

/// Runs the walkthrough and prints a line for each step.
///
/// # Errors
/// A step fails.
pub async fn run(stack: &Stack, route: Route, progress: &Progress) -> anyhow::Result<()> {
    let begun = Instant::now();
    let report = |text: &str| {
        let seconds = begun.elapsed().as_secs_f32();
        progress(&format!("  {seconds:>5.1}s  {text}"));
    };
    let demo = stack.demo();
    let usual_lifetime = Duration::from_hours(1).as_secs();
    demo.change(|settings| settings.access_token_lifetime_s = SHORT_LIFETIME.as_secs());

    let mut recorder = MessageRecorder::bind(&stack.servers.rabbitmq.url()).await?;
    let jobs_before = account::waiting_jobs(&recorder).await?;
    sign_in::check(stack, route, PERSON, &report).await?;
    sign_in::check_event(stack, &mut recorder, HANDLE, &report).await?;
    let account = account::check(stack, route, HANDLE, &report).await?;
    account::check_jobs(&mut recorder, account.id, jobs_before, &report).await?;

    demo.change(|settings| settings.access_token_lifetime_s = usual_lifetime);
    tokens::check(stack, route, account.id, &report).await
}
