//! `auth-svc keys generate`: a key that signs access tokens.

use clap::{Subcommand, ValueEnum};
use jsonwebtoken::Algorithm;
use latchkey_service::StartError;

use crate::session::keys;

/// What to do about keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints a new key for SESSION_SIGNING_KEYS.
    ///
    /// To rotate: put the new key *behind* the one in use and roll out, so that
    /// every service learns it from /.well-known/jwks.json; after ten minutes put
    /// it first and roll out; drop the old key when ACCESS_TOKEN_EXPIRES_IN is
    /// over.
    Generate {
        /// Name of the key in tokens and in the JWKS; its thumbprint by default.
        #[arg(long)]
        key_id: Option<String>,
        /// What it signs with.
        #[arg(long, value_enum, default_value_t = Kind::Eddsa)]
        algorithm: Kind,
    },
}

/// Algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Ed25519: short and quick.
    Eddsa,
    /// P-256: where a verifier knows no Ed25519.
    Es256,
}

/// The text for the operator.
///
/// # Errors
/// No randomness, or the key id is none.
pub fn run(command: &Command) -> Result<String, StartError> {
    let Command::Generate { key_id, algorithm } = command;
    let algorithm = match algorithm {
        Kind::Eddsa => Algorithm::EdDSA,
        Kind::Es256 => Algorithm::ES256,
    };
    let key = keys::generate(algorithm, key_id.as_deref()).map_err(StartError::other)?;
    Ok(format!(
        "# auth-svc: whoever has it can sign in as anyone\nSESSION_SIGNING_KEYS={key}"
    ))
}
