//! `auth-svc keys generate`: generates a key that signs access tokens.

use clap::{Subcommand, ValueEnum};
use jsonwebtoken::Algorithm;
use latchkey_service::StartError;

use crate::session::keys;

/// The subcommands of `auth-svc keys`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Prints a new key for SESSION_SIGNING_KEYS.
    ///
    /// To rotate: put the new key *behind* the one in use and deploy, so that every
    /// service reads it from /.well-known/jwks.json; after ten minutes put it first and
    /// deploy; remove the old key when ACCESS_TOKEN_EXPIRES_IN has passed.
    Generate {
        /// Id of the key in tokens and in the JWKS; by default its thumbprint.
        #[arg(long)]
        key_id: Option<String>,
        /// The signature algorithm.
        #[arg(long, value_enum, default_value_t = KeyAlgorithm::Eddsa)]
        algorithm: KeyAlgorithm,
    },
}

/// The signature algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyAlgorithm {
    /// Ed25519: short keys, fast.
    Eddsa,
    /// P-256: for verifiers that do not support Ed25519.
    Es256,
}

/// Runs the command and returns the text to print.
///
/// # Errors
/// Returns an error if there is no randomness or the key id is invalid.
pub fn run(command: &Command) -> Result<String, StartError> {
    let Command::Generate { key_id, algorithm } = command;
    let algorithm = match algorithm {
        KeyAlgorithm::Eddsa => Algorithm::EdDSA,
        KeyAlgorithm::Es256 => Algorithm::ES256,
    };
    let key = keys::generate(algorithm, key_id.as_deref()).map_err(StartError::other)?;
    Ok(format!(
        "# for auth-svc only: whoever has this key can sign in as anyone\nSESSION_SIGNING_KEYS={key}"
    ))
}
