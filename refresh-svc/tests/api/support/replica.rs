//! A replica in this process.

use std::net::SocketAddr;
use std::time::Duration;

use latchkey_testkit::TestCertificates;
use refresh_svc::{Application, Config};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::Client;

pub struct Replica {
    pub grpc: SocketAddr,
    pub health: SocketAddr,
    runtime: Option<Runtime>,
    stop: CancellationToken,
    ended: Option<tokio::task::JoinHandle<()>>,
}

impl Replica {
    pub fn start(configuration: impl FnOnce() -> Config) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let stop = CancellationToken::new();
        let application = {
            let _entered = runtime.enter();
            Application::build(configuration()).unwrap()
        };
        let (grpc, health) = (application.grpc_address(), application.health_address());
        let stopped = stop.clone();
        let ended = runtime.spawn(async move {
            application.run_until_stopped(stopped).await.unwrap();
        });
        Self {
            grpc,
            health,
            runtime: Some(runtime),
            stop,
            ended: Some(ended),
        }
    }

    pub async fn client(&self, certificates: &TestCertificates) -> Client {
        Client::connect(self.grpc, certificates).await
    }

    /// Whether `/readyz` reports success.
    pub async fn is_ready(&self) -> bool {
        let url = format!("http://{}/readyz", self.health);
        reqwest::get(url).await.unwrap().status().is_success()
    }

    /// Ends everything abruptly, like `kill -9`.
    pub fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Stops it like SIGTERM.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = self.ended.take().unwrap();
        tokio::time::timeout(Duration::from_secs(40), ended)
            .await
            .unwrap()
            .unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
