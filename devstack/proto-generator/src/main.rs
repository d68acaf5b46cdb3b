//! `cargo dev proto`: writes the generated code of the published contract into the
//! repository.

use std::io::Write as _;

fn main() -> anyhow::Result<()> {
    let directory = latchkey_proto_generator::directory();
    for (name, content) in latchkey_proto_generator::generate()? {
        let path = directory.join(name);
        if std::fs::read(&path).ok().as_ref() != Some(&content) {
            std::fs::write(&path, content)?;
            writeln!(std::io::stderr(), "· written: {}", path.display())?;
        }
    }
    Ok(())
}
