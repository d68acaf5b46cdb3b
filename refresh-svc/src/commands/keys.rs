//! `refresh-svc keys …`: makes keys, and tells and moves what they seal.

pub mod generate;
pub mod reseal;
pub mod status;
