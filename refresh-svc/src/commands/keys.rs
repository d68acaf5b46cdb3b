//! `refresh-svc keys …`: generates keys, reports on them and reseals grants.

pub mod generate;
pub mod reseal;
mod sample;
pub mod status;
