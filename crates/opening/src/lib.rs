//! Opens the envelopes of `latchkey-sealing`. Of the services only refresh-svc links this crate;
//! the development stack and tests link it to make keys.

mod opening_key;
mod opening_keys;

pub use opening_key::{GenerateError, InvalidOpeningKey, OpeningKey};
pub use opening_keys::{OpenError, OpeningKeys, key_id_of};
