//! The development stack: `cargo dev`.

pub mod servers;
pub mod test;
