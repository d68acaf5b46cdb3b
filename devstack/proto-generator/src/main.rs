//! `cargo dev proto`: writes the generated code of the published contract into the
//! repository, and removes what is no longer generated.

use std::io::Write as _;

use latchkey_proto_generator::{directory, generate, replace};

fn main() -> anyhow::Result<()> {
    for change in replace(&directory(), &generate()?)? {
        writeln!(std::io::stderr(), "· {change}")?;
    }
    Ok(())
}
