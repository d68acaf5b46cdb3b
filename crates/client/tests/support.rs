//! A TokenService to test against, and a client connected to it.

mod double;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use latchkey_client::{MutualTls, TokenClient, TokenClientBuilder};
use latchkey_domain::{AccountId, Clock as _, ManualClock};
use latchkey_testkit::TestCertificates;
use time::OffsetDateTime;

pub use double::{Book, Double, status};
pub use wire::Wire;

/// A service, its replicas' common book, and a clock that all share.
pub struct World {
    pub certificates: TestCertificates,
    pub clock: Arc<ManualClock>,
    pub book: Arc<Book>,
    pub service: Double,
    pub account: AccountId,
}

impl World {
    pub async fn create() -> Self {
        let certificates = TestCertificates::create();
        let start = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let book = Arc::new(Book::new(Arc::clone(&clock)));
        let service = Double::start(&certificates, Arc::clone(&book)).await;
        Self {
            certificates,
            clock,
            book,
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

    /// A client's settings, to add to.
    pub fn builder(&self) -> TokenClientBuilder {
        TokenClient::builder(self.tls())
            .address(self.service.address())
            .clock(Arc::clone(&self.clock) as _)
            .jitter_seed(7)
            .within(Duration::from_secs(5))
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

/// Waits until something in the background has come true.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came true: {what}");
}

/// Long enough for a background task to have done what it should not do.
pub async fn a_while() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}
