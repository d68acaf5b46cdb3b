//! Log lines of libraries that this product says in its own words, or that tell an operator nothing.

/// What is logged of these libraries, unless `RUST_LOG` names them.
const FILTER: &str = concat!(
    // Slow statements and connections. The metrics count both, and a request that fails because of
    // one says so.
    "sqlx::query=error,sqlx::pool=error,sqlx_core=error,",
    // "starting 2 workers" and the like: the services log that they listen and that they stop.
    "actix_server=error,",
    // A second line for each refused request, with the error as Rust prints it.
    "tracing_actix_web=off",
);

/// The directives of `RUST_LOG` behind those for the libraries, which a directive with the same
/// target replaces.
pub(super) fn filtered(directives: &str) -> String {
    if directives.trim() == "off" {
        return directives.to_owned();
    }
    format!("{FILTER},{directives}")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(directives: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry()
            .with(EnvFilter::new(filtered(directives)))
            .with(tracing_subscriber::fmt::layer().with_writer(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "sqlx::pool::acquire", "slow connection");
            tracing::warn!(target: "sqlx::query", "slow statement");
            tracing::info!(target: "sqlx_core::pool::inner", "ping");
            tracing::info!(target: "actix_server::builder", "starting workers");
            tracing::warn!(target: "tracing_actix_web::middleware", "NotSignedIn");
            tracing::error!(target: "actix_server::accept", "accepting failed");
            tracing::warn!(target: "sqlx_postgres::options", "unknown parameter");
            tracing::info!(target: "auth_svc::app", "listening");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    // R45
    #[test]
    fn lines_of_libraries_are_left_out_unless_they_are_asked_for() {
        let log = logged("info");
        let kept = ["accepting failed", "unknown parameter", "listening"];
        assert!(kept.iter().all(|line| log.contains(line)), "{log}");
        assert_eq!(log.lines().count(), kept.len(), "{log}");

        let log = logged("info,sqlx::query=warn");
        assert!(log.contains("slow statement"), "{log}");
        assert!(!log.contains("slow connection"), "{log}");
        assert_eq!(logged("off"), "");
    }
}
