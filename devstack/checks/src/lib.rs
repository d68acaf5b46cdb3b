//! Rules about the repository itself, held by the tests of this crate: the modules of a crate do
//! not use each other in a circle, a comment names only what exists, the manifests of Kubernetes
//! are safe and agree with each other, dashboards and alerts are complete, and no migration locks a
//! table for long.

pub mod alerts;
pub mod dashboards;
mod graph;
mod imports;
pub mod manifests;
mod modules;
mod service_sources;
mod tracked;

pub use graph::{Graph, circles};
pub use modules::crate_graph;
pub use service_sources::service_sources;
pub use tracked::{Tracked, crates, root, tracked};
