//! The program itself.

/// Name of the program, in its messages and in the list of connections of a server.
pub(crate) const NAME: &str = "latchkey";
