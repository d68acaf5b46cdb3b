//! Prometheus beside a running stack, a life for it to see, and pictures of dashboards.

mod activity;
mod dashboard;
mod format;
mod monitor;
mod picture;
mod svg;

pub use activity::Activity;
pub use dashboard::run;
pub use monitor::{Monitor, Rule, Series, now};
