//! `refresh-svc keys reseal`: reseals every grant to the current key now. The running
//! service does the same in the background.

use std::io::Write;

use latchkey_config::Environment;
use latchkey_service::StartError;
use latchkey_service::database::pool_of_command;

use crate::config::opening_keys;
use crate::reseal::{Pass, pass};
use crate::store::Store;

/// Passes per command. A grant that is skipped in all of them is being changed by other
/// processes, which seal it to the current key.
const PASSES: usize = 5;

/// Reseals grants of earlier keys of `SEALING_PRIVATE_KEYS` to the first one.
///
/// # Errors
/// Returned if a variable is invalid, the database does not answer, or grants of earlier
/// keys remain.
pub async fn reseal(
    environment: &Environment,
    out: &mut (impl Write + Send),
) -> Result<(), StartError> {
    let keys = opening_keys(environment)?;
    let pool = pool_of_command(environment, "refresh-svc-reseal").await?;
    let store = Store::new(&pool);
    let (mut moved, mut last) = (0, Pass::default());
    for _ in 0..PASSES {
        let progress = |pass: Pass| {
            // A progress line may be lost: only the result matters.
            let _ = writeln!(out, "{} moved", pass.moved);
        };
        last = pass(&store, &keys, 0, 0.0, progress)
            .await
            .map_err(StartError::other)?;
        moved += last.moved;
        if last.found_nothing() {
            break;
        }
    }
    writeln!(
        out,
        "{moved} grants moved to key {}",
        keys.sealing_key().id()
    )
    .map_err(|error| StartError::io("cannot write the result", error))?;
    let problem = match last {
        Pass {
            unreadable: 1.., ..
        } => format!(
            "{} accounts have a token that no key opens: see `refresh-svc keys status`",
            last.unreadable
        ),
        Pass { skipped: 1.., .. } => format!(
            "{} grants were being changed by other processes: run the command again",
            last.skipped
        ),
        _ => return Ok(()),
    };
    Err(StartError::Other(problem))
}
