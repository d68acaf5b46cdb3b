//! Latchkey.
fn main() {}
