//! Whether each database can be reached, with its role and password.

use futures::future::join_all;
use latchkey_service::database::ConnectError;
use sqlx::postgres::PgConnectOptions;

use crate::check_id::CheckId;
use crate::database::{Unusable, connect, target};
use crate::finding::Finding;
use crate::outcome::{Looked, Outcome};
use crate::runbook::Runbook;
use crate::world::{Source, World};

const START: &str =
    "start the server, or correct host and port of DATABASE_URL, or the network policy between";
const TLS: &str =
    "set SSL_CERT_FILE to the authority of the server, or correct sslmode in DATABASE_URL";

pub(crate) async fn check(world: &World) -> Outcome {
    let databases = world.databases();
    if databases.is_empty() {
        return Err(world.without_variable("DATABASE_URL", CheckId::Environment));
    }
    let looks = databases.iter().enumerate();
    let findings =
        join_all(looks.map(|(position, (source, options))| look(world, position, source, options)));
    Ok(Looked {
        findings: findings.await.into_iter().flatten().collect(),
        seen: databases
            .iter()
            .map(|(_, options)| target(options))
            .collect(),
        detail: None,
    })
}

async fn look(
    world: &World,
    position: usize,
    source: &Source,
    options: &PgConnectOptions,
) -> Option<Finding> {
    if position == 0 {
        let connected = world.connect_database(options).await;
        let unusable = connected.as_ref().err()?;
        return Some(judge(&source.name, options, unusable));
    }
    let unusable = connect(options).await.err()?;
    Some(judge(&source.name, options, &unusable))
}

fn judge(source: &str, options: &PgConnectOptions, unusable: &Unusable) -> Finding {
    let (problem, remedy) = words(unusable);
    Finding {
        code: "database",
        runbook: Runbook::Database,
        problem: format!("the database {problem}: {}", target(options)),
        looked_at: format!("DATABASE_URL of {source}, by connecting"),
        remedy: remedy.to_owned(),
    }
}

/// What is wrong, and what to do.
fn words(unusable: &Unusable) -> (String, &'static str) {
    let error = match unusable {
        Unusable::NoAnswer => return ("does not answer".to_owned(), START),
        Unusable::ReadOnly => {
            return (
                "is read-only: a standby, or one that was demoted".to_owned(),
                "point DATABASE_URL to the primary",
            );
        }
        Unusable::Statement(error) => return (format!("refuses a statement: {error}"), START),
        Unusable::Connect(error) => error,
    };
    match error {
        ConnectError::ConnectionRefused { .. } => {
            ("cannot be reached: connection refused".to_owned(), START)
        }
        ConnectError::NoAnswer { .. } => ("does not answer".to_owned(), START),
        ConnectError::Credentials { reason, .. } => (
            format!("refuses the role or its password ({reason})"),
            "compare user and password of DATABASE_URL with the role of the database, and its \
             pg_hba.conf; characters like @ and / are percent-encoded",
        ),
        ConnectError::NoDatabase { .. } => (
            "does not exist on the server".to_owned(),
            "correct the name in DATABASE_URL, or create the database and run `latchkey-migrate`",
        ),
        ConnectError::TooMany { .. } => (
            "has no connection left".to_owned(),
            "close connections or raise max_connections: every replica needs \
             DATABASE_MAX_CONNECTIONS and three more",
        ),
        ConnectError::Tls { source, .. } => (format!("cannot be reached over TLS: {source}"), TLS),
        ConnectError::Other { source, .. } => (format!("cannot be reached: {source}"), START),
    }
}
