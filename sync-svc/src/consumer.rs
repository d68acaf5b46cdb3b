//! Handles one message: decodes the event and applies it. The result says whether the
//! message is acknowledged, tried again or parked.

use std::sync::Arc;

use async_trait::async_trait;
use latchkey_domain::Clock;
use latchkey_messaging::consumer::{HandleError, Handler, Received};
use latchkey_messaging::outbox::{Event as _, OutboxWaker};
use latchkey_proto::events::{
    AccountDisconnected, AccountReauthRequired, MemberRemoved, UserAuthenticated,
};
use latchkey_service::database::{ANSWER, within};
use sqlx::PgPool;

use crate::connect::{self, ConnectMode, SignIn};
use crate::grant_events::{self, GrantEventError};
use crate::member_removal::{self, Removal, RemovalError};
use crate::store;

/// Handles every event that sync-svc consumes.
#[derive(Debug)]
pub struct EventHandler {
    pool: PgPool,
    mode: ConnectMode,
    clock: Arc<dyn Clock>,
    outbox: OutboxWaker,
}

impl EventHandler {
    /// A handler that writes to this database, and wakes the relay after that.
    pub fn new(
        pool: PgPool,
        mode: ConnectMode,
        clock: Arc<dyn Clock>,
        outbox: OutboxWaker,
    ) -> Self {
        Self {
            pool,
            mode,
            clock,
            outbox,
        }
    }

    async fn authenticated(&self, message: &Received) -> Result<(), HandleError> {
        let now = self.clock.now();
        let sign_in = SignIn::read(message.event::<UserAuthenticated>()?, now)
            .map_err(|error| HandleError::Park(error.to_string()))?;
        let Some(sign_in) = sign_in else {
            tracing::debug!("the sign-in has no connection");
            return Ok(());
        };
        let outcome = connect::apply(&self.pool, self.mode, message.id, &sign_in, now).await?;
        tracing::info!(
            provider = %sign_in.binding.provider,
            workspace.id = %sign_in.binding.workspace,
            user.id = %sign_in.binding.user,
            ?outcome,
            "sign-in applied"
        );
        Ok(())
    }
}

#[async_trait]
impl Handler for EventHandler {
    async fn handle(&self, message: &Received) -> Result<(), HandleError> {
        // The future is large, and would be moved with the deadline.
        within(ANSWER, Box::pin(self.apply(message))).await?;
        self.outbox.wake();
        Ok(())
    }

    async fn available(&self) -> Result<(), String> {
        // Not cached: shortly after a failure an earlier answer means nothing.
        let written = within(ANSWER, sqlx::query(store::WRITE).execute(&self.pool)).await;
        written.map(drop).map_err(|error| error.to_string())
    }
}

impl EventHandler {
    async fn apply(&self, message: &Received) -> Result<(), HandleError> {
        let now = self.clock.now();
        match message.event_type.as_str() {
            UserAuthenticated::ROUTING_KEY => self.authenticated(message).await,
            AccountReauthRequired::ROUTING_KEY => {
                let fact = message.event()?;
                Ok(grant_events::reauth_required(&self.pool, message.id, &fact, now).await?)
            }
            MemberRemoved::ROUTING_KEY => {
                let removal = Removal::read(&message.event()?)?;
                Ok(member_removal::apply(&self.pool, message.id, removal).await?)
            }
            AccountDisconnected::ROUTING_KEY => {
                let fact = message.event()?;
                Ok(grant_events::disconnected(&self.pool, message.id, &fact, now).await?)
            }
            other => Err(HandleError::Park(format!("unknown event {other}"))),
        }
    }
}

impl From<GrantEventError> for HandleError {
    fn from(error: GrantEventError) -> Self {
        match error {
            GrantEventError::Database(error) => error.into(),
            malformed => Self::Park(malformed.to_string()),
        }
    }
}

impl From<RemovalError> for HandleError {
    fn from(error: RemovalError) -> Self {
        match error {
            RemovalError::Database(error) => error.into(),
            malformed => Self::Park(malformed.to_string()),
        }
    }
}
