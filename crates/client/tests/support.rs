//! A fake TokenService and clients connected to it.

mod fake_service;
mod fake_state;
mod fake_watches;

use std::sync::Arc;
use std::time::Duration;

use latchkey_client::{MutualTls, TokenClient, TokenClientBuilder};
use latchkey_domain::{AccountId, Clock as _, ManualClock};
use latchkey_testkit::{Proxy, TestCertificates, eventually};
use time::OffsetDateTime;

pub use fake_service::FakeService;
pub use fake_state::{FakeState, status};

/// Far longer than correct waits, and shorter than wrong ones.
pub const LONG: Duration = Duration::from_secs(20);

/// A fake service, the state that its replicas share, and a clock.
pub struct World {
    pub certificates: TestCertificates,
    pub clock: Arc<ManualClock>,
    pub state: Arc<FakeState>,
    pub service: FakeService,
    pub account: AccountId,
}

impl World {
    pub async fn create() -> Self {
        let certificates = TestCertificates::create();
        let start = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let state = Arc::new(FakeState::new(Arc::clone(&clock)));
        let service = FakeService::start(&certificates, Arc::clone(&state)).await;
        Self {
            certificates,
            clock,
            state,
            service,
            account: AccountId::generate(),
        }
    }

    pub fn tls(&self) -> MutualTls {
        let client = &self.certificates.client;
        MutualTls::from_files(
            &self.certificates.authority,
            &client.certificate,
            &client.key,
        )
        .unwrap()
    }

    /// Default settings of a client. It watches nothing, so that calls can be counted.
    pub fn builder(&self) -> TokenClientBuilder {
        self.builder_at(&self.service.address())
    }

    pub fn builder_at(&self, address: &str) -> TokenClientBuilder {
        TokenClient::builder(self.tls())
            .address(address)
            .clock(Arc::clone(&self.clock) as _)
            .jitter_seed(7)
            .within(Duration::from_secs(10))
            .watches(0)
    }

    /// Starts another replica.
    pub async fn replica(&self) -> FakeService {
        FakeService::start(&self.certificates, Arc::clone(&self.state)).await
    }

    /// A client whose token has half a minute left, which is less than the default
    /// minimum.
    pub async fn with_expiring_token() -> (Self, TokenClient) {
        let world = Self::create().await;
        let client = world.client();
        client.access_token(world.account).await.unwrap();
        world.advance(3600 - 30);
        (world, client)
    }

    /// A client of two replicas, the first behind a proxy.
    pub async fn with_proxy(&self) -> (TokenClient, Proxy, FakeService) {
        let proxy = Proxy::start(self.service.socket()).await.unwrap();
        let second = self.replica().await;
        let client = self
            .builder_at(&format!("https://localhost:{}", proxy.address().port()))
            .address(second.address())
            .within(Duration::from_secs(30))
            .build()
            .unwrap();
        (client, proxy, second)
    }

    pub fn client(&self) -> TokenClient {
        self.builder().build().unwrap()
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }
}

/// Waits until a condition holds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    eventually(what, async || holds()).await;
}

/// Long enough for a background task to have done what it must not do.
pub async fn short_wait() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}
