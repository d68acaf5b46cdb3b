//! Whether the migrations of this release are applied.

use latchkey_migrations::{Status, StatusError};

use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::wording::{counted, listed};
use crate::world::{Mode, World};

pub(crate) async fn check(world: &World) -> Outcome {
    let pool = world.pool().await?;
    let mut connection = pool
        .acquire()
        .await
        .map_err(|error| NotLooked::of_statement(&error))?;
    let status = match latchkey_migrations::status(&mut connection).await {
        Ok(status) => status,
        Err(error @ StatusError::Unreadable) => {
            let problem = error.to_string();
            return Ok(Looked {
                seen: vec![problem.clone()],
                // The first deployment migrates.
                findings: (world.mode != Mode::BeforeDeploy)
                    .then(|| unreadable(problem))
                    .into_iter()
                    .collect(),
                detail: None,
            });
        }
        Err(StatusError::Database(error)) => return Err(NotLooked::of_statement(&error)),
    };
    Ok(Looked {
        seen: vec![format!(
            "{} of {} applied, {} newer",
            status.known.len() - status.missing().count(),
            status.known.len(),
            status.unknown.len()
        )],
        findings: judge(&status, world.mode),
        detail: None,
    })
}

/// The deployment applies what is missing. Services run on a newer schema, and the program that
/// migrates does not.
fn judge(status: &Status, mode: Mode) -> Vec<Finding> {
    let missing: Vec<String> = status
        .missing()
        .map(|state| format!("{} {}", state.version, state.description))
        .collect();
    match mode {
        Mode::BeforeDeploy if !status.unknown.is_empty() => {
            vec![newer(&status.unknown)]
        }
        Mode::Now | Mode::AfterDeploy if !missing.is_empty() => {
            vec![not_applied(&missing)]
        }
        _ => Vec::new(),
    }
}

const LOOKED_AT: &str = "the migrations of this release, against those of the database";

fn not_applied(missing: &[String]) -> Finding {
    let count = counted(missing.len(), "migration is", "migrations are");
    Finding {
        code: "migration_missing",
        runbook: Runbook::Migration,
        problem: format!("{count} not applied: {}", listed(missing)),
        looked_at: LOOKED_AT.to_owned(),
        remedy: "run `latchkey-migrate` of this release with the owner's DATABASE_URL".to_owned(),
    }
}

fn unreadable(problem: String) -> Finding {
    Finding {
        code: "migrations_unreadable",
        runbook: Runbook::Migration,
        problem,
        looked_at: "_sqlx_migrations".to_owned(),
        remedy: "run `latchkey-migrate`, and grant latchkey_operator to the role of DATABASE_URL"
            .to_owned(),
    }
}

fn newer(versions: &[i64]) -> Finding {
    let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
    Finding {
        code: "schema_newer",
        runbook: Runbook::Migration,
        problem: format!(
            "the schema is newer than this version: it has {}",
            listed(&versions)
        ),
        looked_at: LOOKED_AT.to_owned(),
        remedy:
            "do not run `latchkey-migrate` of this release; if this is a roll-back, deploy the \
                 services without it"
                .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use latchkey_migrations::MigrationState;

    use super::*;
    use crate::finding::codes;

    #[test]
    fn before_a_deployment_a_newer_schema_counts_and_a_missing_migration_does_not() {
        let missing = Status {
            known: vec![MigrationState {
                version: 1,
                description: "a".to_owned(),
                applied: false,
            }],
            unknown: Vec::new(),
        };
        let later = Status {
            known: Vec::new(),
            unknown: vec![9],
        };
        assert_eq!(judge(&missing, Mode::BeforeDeploy), []);
        assert_eq!(codes(&judge(&missing, Mode::Now)), ["migration_missing"]);
        assert_eq!(judge(&later, Mode::Now), []);
        assert_eq!(codes(&judge(&later, Mode::BeforeDeploy)), ["schema_newer"]);
    }
}
