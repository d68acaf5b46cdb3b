//! `refresh-svc audit prune`: deletes old audit records.

use std::io::Write;
use std::time::Duration;

use latchkey_config::Environment;
use latchkey_policy::audit::{self, Table};
use latchkey_service::StartError;

/// Deletes records older than `keep`. `DATABASE_URL` must log in as a member of
/// `latchkey_operator`, because the service's own role may not delete.
///
/// # Errors
/// Returned if the database refuses: `keep` is under 30 days, or the role lacks the
/// privilege.
pub async fn prune(
    environment: &Environment,
    keep: Duration,
    out: &mut impl Write,
) -> Result<(), StartError> {
    let pool = latchkey_service::database::pool_of_command(environment, "refresh-svc-audit")?;
    let pruned = audit::prune(&pool, Table::Vault, keep)
        .await
        .map_err(StartError::other)?;
    writeln!(out, "{pruned} records deleted")
        .map_err(|error| StartError::io("cannot write the result", error))
}
