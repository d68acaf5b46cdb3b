//! Connections to the service's replicas.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use latchkey_proto::token::token_service_client::TokenServiceClient;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Response, Status};

use crate::status::may_retry_on_another_replica;
use crate::tls::CONNECT_TIMEOUT;
use crate::{BuildError, MutualTls};

/// Interval of keep-alive pings.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// A connection whose ping is not answered within this time is closed.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// One lazily opened and automatically reopened HTTP/2 connection per replica, used in
/// turn.
///
/// tonic's balanced channel is not used, because it keeps sending calls to a replica
/// that is down. Here such a call goes to the next replica at once.
#[derive(Debug)]
pub(crate) struct Replicas {
    addresses: Vec<Uri>,
    server_name: Option<String>,
    certificate_reload_interval: Duration,
    next: AtomicUsize,
    connected: Mutex<Connected>,
}

#[derive(Debug)]
struct Connected {
    tls: Arc<MutualTls>,
    channels: Arc<[Channel]>,
    checked_at: Instant,
}

impl Replicas {
    /// Opens no connection: the first call does.
    pub(crate) fn new(
        addresses: Vec<Uri>,
        server_name: Option<String>,
        tls: MutualTls,
        certificate_reload_interval: Duration,
    ) -> Result<Self, BuildError> {
        let channels = channels(&addresses, server_name.as_deref(), &tls)?;
        Ok(Self {
            addresses,
            server_name,
            certificate_reload_interval,
            next: AtomicUsize::new(0),
            connected: Mutex::new(Connected {
                tls: Arc::new(tls),
                channels,
                checked_at: Instant::now(),
            }),
        })
    }

    /// Calls one replica. If it cannot be reached or shuts down, calls the next one,
    /// until one answers or all were tried.
    pub(crate) async fn call<T, F>(
        &self,
        call: impl Fn(TokenServiceClient<Channel>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.reload_certificates().await;
        let channels = Arc::clone(&self.lock().channels);
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut last = Status::unavailable("no replica");
        for turn in 0..channels.len() {
            let position = first.wrapping_add(turn) % channels.len();
            let Some(channel) = channels.get(position) else {
                continue;
            };
            match call(TokenServiceClient::new(channel.clone())).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if may_retry_on_another_replica(&status) => {
                    tracing::debug!(
                        replica = position,
                        "replica does not answer: the next one is tried"
                    );
                    last = status;
                }
                Err(status) => return Err(status),
            }
        }
        Err(last)
    }

    /// Opens new connections after the files of [`MutualTls::from_files`] changed;
    /// running calls keep the old ones. Incomplete files are ignored until they are
    /// complete.
    async fn reload_certificates(&self) {
        let tls = {
            let mut connected = self.lock();
            let due = connected.checked_at.elapsed() >= self.certificate_reload_interval;
            if !due || !connected.tls.may_be_renewed() {
                return;
            }
            connected.checked_at = Instant::now();
            Arc::clone(&connected.tls)
        };
        let renewed = tokio::task::spawn_blocking(move || tls.renewed()).await;
        let outcome = match renewed {
            Ok(Ok(None)) | Err(_) => return,
            Ok(Ok(Some(tls))) => channels(&self.addresses, self.server_name.as_deref(), &tls)
                .map(|channels| (tls, channels)),
            Ok(Err(error)) => Err(error),
        };
        match outcome {
            Ok((tls, channels)) => {
                let mut connected = self.lock();
                connected.tls = Arc::new(tls);
                connected.channels = channels;
                tracing::info!("renewed client certificate loaded");
            }
            Err(error) => tracing::warn!(%error, "renewed client certificate is unusable"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connected> {
        self.connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn channels(
    addresses: &[Uri],
    server_name: Option<&str>,
    tls: &MutualTls,
) -> Result<Arc<[Channel]>, BuildError> {
    addresses
        .iter()
        .map(|address| {
            let endpoint = Endpoint::from(address.clone())
                .connect_timeout(CONNECT_TIMEOUT)
                .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                .keep_alive_while_idle(true)
                .tcp_nodelay(true)
                .tls_config(tls.config(server_name))
                .map_err(BuildError::Tls)?;
            Ok(endpoint.connect_lazy())
        })
        .collect()
}
