//! The rules, by what they are about.

mod configuration;
mod containers;
mod monitoring;
mod network;
mod objects;
mod roll_out;
mod routes;
mod servers;

use crate::rule::Rule;

/// The rules of every module.
pub(crate) static ALL: [&[Rule]; 8] = [
    configuration::RULES,
    containers::RULES,
    monitoring::RULES,
    network::RULES,
    objects::RULES,
    roll_out::RULES,
    routes::RULES,
    servers::RULES,
];
