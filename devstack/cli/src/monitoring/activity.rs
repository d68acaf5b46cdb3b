//! What people, callers and publishers do, so that every metric has something to count.

use std::time::Duration;

use anyhow::Context as _;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};
use latchkey_demo_provider::{Decision, Endpoint, Fault};
use latchkey_messaging::topology::EVENTS_EXCHANGE;
use latchkey_proto::token::token_service_client::TokenServiceClient;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::Stack;
use crate::browser::Browser;
use crate::polling::{BROKER_TIMEOUT, eventually};
use crate::walkthrough::{Route, account_of, get_access_token, refresh_access_token, sign_in};

/// A token that is valid for this long is good enough for the callers.
const MIN_REMAINING: Duration = Duration::from_secs(5);

/// An account, and the person and provider that it belongs to.
#[derive(Debug, Clone, Copy)]
struct Connected {
    id: Uuid,
    person: &'static str,
    route: Route,
}

/// What happens at a stack.
#[derive(Debug)]
pub struct Activity<'a> {
    stack: &'a Stack,
    /// A caller of each replica of refresh-svc.
    callers: Vec<TokenServiceClient<Channel>>,
    accounts: Vec<Connected>,
}

impl<'a> Activity<'a> {
    /// Connects a caller to each of the replicas of refresh-svc.
    ///
    /// # Errors
    /// A connection fails.
    pub async fn start(stack: &'a Stack, replicas: usize) -> anyhow::Result<Self> {
        let mut callers = Vec::with_capacity(replicas);
        for replica in 0..replicas {
            callers.push(stack.tokens(replica).await?);
        }
        Ok(Self {
            stack,
            callers,
            accounts: Vec::new(),
        })
    }

    /// A person of acme.example signs in. The account is there when this returns.
    ///
    /// # Errors
    /// The sign-in fails, or no account appears.
    pub async fn sign_in(&mut self, person: &'static str, route: Route) -> anyhow::Result<()> {
        self.decide(route, &Decision::allow(person)).await?;
        let handle = format!("{person}@acme.example");
        let what = format!("an account of {handle}");
        let account = eventually(BROKER_TIMEOUT, &what, async || {
            let accounts = account_of(self.stack.pool(), route.provider, &handle).await?;
            Ok(accounts.into_iter().next())
        })
        .await?;
        if self.accounts.iter().all(|one| one.id != account.id) {
            self.accounts.push(Connected {
                id: account.id,
                person,
                route,
            });
        }
        Ok(())
    }

    /// A person decides at the provider and returns, whatever becomes of it.
    ///
    /// # Errors
    /// The sign-in does not start, or auth-svc does not answer.
    pub async fn decide(&self, route: Route, decision: &Decision) -> anyhow::Result<()> {
        let mut browser = Browser::new()?;
        sign_in(&mut browser, self.stack, route.path, decision).await?;
        Ok(())
    }

    /// Every caller asks for the token of every account, whatever the answer is. Returns how many
    /// got a token.
    pub async fn ask(&mut self) -> usize {
        let mut answered = 0;
        for caller in &mut self.callers {
            for account in &self.accounts {
                let answer = get_access_token(caller, account.id, MIN_REMAINING).await;
                answered += usize::from(answer.is_ok());
            }
        }
        answered
    }

    /// All callers report at once that the token of the first account was refused, and the
    /// provider takes a second: one replica refreshes, and the others wait for it.
    ///
    /// # Errors
    /// A caller gets no token.
    pub async fn refresh_at_once(&mut self) -> anyhow::Result<()> {
        let account = self.accounts.first().context("nobody has signed in")?.id;
        let caller = self.callers.first_mut().context("no caller")?;
        let version = get_access_token(caller, account, MIN_REMAINING)
            .await?
            .version;
        let slow = Fault::on(Endpoint::Token).of_grant("refresh_token");
        self.stack.demo().inject(slow.delayed_ms(1_000));
        let calls = self.callers.iter_mut();
        let calls = calls.map(|caller| refresh_access_token(caller, account, version));
        futures::future::try_join_all(calls).await?;
        Ok(())
    }

    /// The last person who signed in revokes the grant at the provider, and a caller asks.
    ///
    /// # Errors
    /// The caller is not told that the grant is dead.
    pub async fn revoke_a_grant(&mut self) -> anyhow::Result<()> {
        let account = *self.accounts.last().context("nobody has signed in")?;
        let caller = self.callers.first_mut().context("no caller")?;
        let token = get_access_token(caller, account.id, MIN_REMAINING).await?;
        let flavour = Some(account.route.flavour);
        self.stack.demo().revoke(account.person, flavour);
        let refused = refresh_access_token(caller, account.id, token.version).await;
        anyhow::ensure!(refused.is_err(), "a revoked grant was refreshed");
        Ok(())
    }

    /// Publishes a message that sync-svc cannot read.
    ///
    /// # Errors
    /// The broker does not confirm it.
    pub async fn publish_a_malformed_message(&self) -> anyhow::Result<()> {
        let url = self.stack.servers.rabbitmq.url();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let confirmation = channel
            .basic_publish(
                EVENTS_EXCHANGE.into(),
                "user.authenticated.v1".into(),
                options,
                b"no event",
                BasicProperties::default(),
            )
            .await?
            .await?;
        let is_queued = matches!(confirmation, Confirmation::Ack(None));
        anyhow::ensure!(is_queued, "the broker did not confirm");
        connection.close(200, "done".into()).await?;
        Ok(())
    }
}
