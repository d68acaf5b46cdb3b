//! Whether the migrations of this release are applied.

use latchkey_migrations::{Status, StatusError};

use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
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
                    .then_some(Finding::MigrationsUnreadable { problem })
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
        findings: judge(status, world.mode),
        detail: None,
    })
}

/// The deployment applies what is missing. Services run on a newer schema, and the program that
/// migrates does not.
fn judge(status: Status, mode: Mode) -> Vec<Finding> {
    let missing: Vec<String> = status
        .missing()
        .map(|state| format!("{} {}", state.version, state.description))
        .collect();
    match mode {
        Mode::BeforeDeploy if !status.unknown.is_empty() => {
            vec![Finding::SchemaNewer {
                versions: status.unknown,
            }]
        }
        Mode::Now | Mode::AfterDeploy if !missing.is_empty() => {
            vec![Finding::MigrationsMissing { missing }]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use latchkey_migrations::MigrationState;

    use super::*;

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
        let newer = Status {
            known: Vec::new(),
            unknown: vec![9],
        };
        assert_eq!(judge(missing.clone(), Mode::BeforeDeploy), []);
        assert_eq!(judge(missing, Mode::Now).len(), 1);
        assert_eq!(judge(newer.clone(), Mode::Now), []);
        assert_eq!(judge(newer, Mode::BeforeDeploy).len(), 1);
    }
}
