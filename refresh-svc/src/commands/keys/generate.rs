//! `refresh-svc keys generate`: prints a new key pair as environment variables.

use std::io::Write;

use latchkey_opening::OpeningKey;
use latchkey_service::StartError;
use secrecy::ExposeSecret as _;

/// Writes a new key pair. `docs/runbook.md` describes how to rotate to it.
///
/// # Errors
/// Returned if the system provides no randomness or the output is closed.
pub fn generate(out: &mut impl Write) -> Result<(), StartError> {
    let key = OpeningKey::generate().map_err(StartError::other)?;
    let written = writeln!(
        out,
        "# refresh-svc only: this key opens every grant\n\
         SEALING_PRIVATE_KEYS={}\n\
         # auth-svc: this key only seals\n\
         SEALING_PUBLIC_KEY={}",
        key.to_secret_text().expose_secret(),
        key.sealing_key()
    );
    written.map_err(|error| StartError::io("cannot write the keys", error))
}

#[cfg(test)]
mod tests {
    use latchkey_opening::OpeningKeys;
    use latchkey_sealing::SealingKey;

    use super::*;

    // R35
    #[test]
    fn a_printed_pair_can_be_read_back() {
        let mut out = Vec::new();
        generate(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().strip_prefix('=').unwrap().to_owned()
        };
        let private: OpeningKeys = value("SEALING_PRIVATE_KEYS").parse().unwrap();
        let public: SealingKey = value("SEALING_PUBLIC_KEY").parse().unwrap();
        assert_eq!(private.sealing_key(), &public);
    }
}
