//! `refresh-svc keys reseal`: reseals every grant to the current key now. The running
//! service does the same in the background.

use std::io::Write;

use latchkey_config::Environment;
use latchkey_sealing::KeyId;
use latchkey_service::StartError;

use crate::config::opening_keys;
use crate::reseal::{Pace, Pass, pass};
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
    let pool = latchkey_service::database::pool_of_command(environment, "refresh-svc-reseal")?;
    let store = Store::new(&pool);
    let write = |error| StartError::io("cannot write the result", error);
    let mut moved = 0;
    let mut last = Pass::default();
    for _ in 0..PASSES {
        let mut progress = |_: &KeyId, pass: Pass, left: Option<u64>| {
            if let Some(left) = left {
                // A progress line may be lost: only the result matters.
                let _ = writeln!(
                    out,
                    "{} moved, about {left} rows left to search",
                    pass.moved
                );
            }
        };
        last = pass(&store, &keys, Pace::Full, 0.0, &mut progress)
            .await
            .map_err(StartError::other)?;
        moved += last.moved;
        if last.moved == 0 && last.skipped == 0 {
            break;
        }
    }
    writeln!(
        out,
        "{moved} grants moved to key {}",
        keys.sealing_key().id()
    )
    .map_err(write)?;
    if last.unreadable > 0 {
        return Err(StartError::Other(format!(
            "{} accounts have a token that no key opens: see `refresh-svc keys status`",
            last.unreadable
        )));
    }
    if last.skipped > 0 {
        return Err(StartError::Other(format!(
            "{} grants were being changed by other processes: run the command again",
            last.skipped
        )));
    }
    Ok(())
}
