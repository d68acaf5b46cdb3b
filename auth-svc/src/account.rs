//! The pages of a person who is signed in.

pub mod access;
pub mod connections;
pub mod grpc_clients;
pub mod members;
pub mod overview;
pub mod sessions;
