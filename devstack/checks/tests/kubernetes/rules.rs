//! The rules, by what they are about.

mod components;
mod configuration;
mod containers;
mod network;
mod objects;
mod roll_out;

use crate::rule::Rule;

/// The rules of every module.
pub(crate) static ALL: [&[Rule]; 6] = [
    components::RULES,
    configuration::RULES,
    containers::RULES,
    network::RULES,
    objects::RULES,
    roll_out::RULES,
];
