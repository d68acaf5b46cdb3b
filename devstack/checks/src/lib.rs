//! Rules about the repository itself, held by the tests of this crate: the modules of a crate do
//! not use each other in a circle, and a comment names only what exists.

mod graph;
mod imports;
mod modules;
mod tracked;

pub use graph::{Graph, circles};
pub use modules::crate_graph;
pub use tracked::{Tracked, crates, root, tracked};
