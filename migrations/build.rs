//! Rebuilds when a migration is added: a new file alone does not trigger it.
fn main() {
    println!("cargo:rerun-if-changed=sql");
}
