//! `refresh-svc audit prune`: the end of old records.

use std::io::Write;
use std::time::Duration;

use latchkey_config::Environment;
use latchkey_policy::audit::{self, Table};
use latchkey_service::StartError;

/// Takes records away that are older than `keep`, with the `DATABASE_URL` of a
/// person in `latchkey_operator`: the service's own role cannot.
///
/// # Errors
/// The database refuses: `keep` is under 30 days, or the role may not.
pub async fn prune(
    environment: &Environment,
    keep: Duration,
    out: &mut impl Write,
) -> Result<(), StartError> {
    let pool = latchkey_service::database::pool_of_command(environment, "refresh-svc-audit")?;
    let pruned = audit::prune(&pool, Table::Vault, keep)
        .await
        .map_err(StartError::other)?;
    writeln!(out, "{pruned} records taken away")
        .map_err(|error| StartError::io("cannot write the result", error))
}
