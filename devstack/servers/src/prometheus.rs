//! A private Prometheus.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::ServerError;
use crate::child::{Child, ChildSpec};
use crate::packages::{Package, on_path};
use crate::port::with_free_ports;

/// A running Prometheus on its own port. It is stopped when this value is dropped.
#[derive(Debug)]
pub struct Prometheus {
    _child: Child,
    url: String,
}

impl Prometheus {
    /// Starts a server with all of its files in `directory`. `configuration` is the text of its
    /// configuration file; paths in it are absolute or relative to `directory`.
    ///
    /// # Errors
    /// Prometheus is missing, refuses the configuration, or does not start.
    pub async fn start(directory: &Path, configuration: &str) -> Result<Self, ServerError> {
        with_free_ports(|ports| Self::start_on(directory, configuration, ports)).await
    }

    async fn start_on(
        directory: &Path,
        configuration: &str,
        [port]: [u16; 1],
    ) -> Result<Self, ServerError> {
        let program = on_path("prometheus").ok_or_else(|| Package::Prometheus.missing())?;
        let file = directory.join("prometheus.yaml");
        fs::write(&file, configuration).map_err(ServerError::file(&file))?;
        let data = directory.join("prometheus");
        fs::create_dir_all(&data).map_err(ServerError::file(&data))?;
        let log = directory.join("prometheus.log");
        let mut spec = ChildSpec::new("Prometheus", program, directory, &log)
            .arg("--config.file")
            .arg(file)
            .arg("--storage.tsdb.path")
            .arg(data)
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        spec.clear_environment = true;
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()?;
        let url = format!("http://127.0.0.1:{port}");
        let ready = format!("{url}/-/ready");
        let mut child = Child::start(spec)?;
        child
            .wait_until(Duration::from_mins(1), || async {
                let answer = client.get(&ready).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            })
            .await?;
        Ok(Self { _child: child, url })
    }

    /// Returns its URL, without a path.
    pub fn url(&self) -> &str {
        &self.url
    }
}
