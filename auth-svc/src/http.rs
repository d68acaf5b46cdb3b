//! What every answer and every request has in common.

pub mod bounds;
pub mod headers;
pub mod root_span;
pub mod same_site;
