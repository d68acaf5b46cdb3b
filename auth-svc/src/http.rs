//! What every answer and every request has in common.

pub mod bounds;
pub mod client_address;
pub mod description;
pub mod headers;
pub mod health;
pub mod limits;
pub mod numbers;
pub mod redirect_note;
pub mod root_span;
pub mod routes;
pub mod same_site;
