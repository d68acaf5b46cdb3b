//! Opens what `latchkey-sealing` sealed. Only refresh-svc links this crate, and
//! the development stack and tests, which make keys.

mod opening_key;
mod opening_keys;

pub use opening_key::{GenerateError, InvalidOpeningKey, OpeningKey};
pub use opening_keys::{OpenError, OpeningKeys, key_id_of};
