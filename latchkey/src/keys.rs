//! `latchkey keys`: keys that sign access tokens. The keys that seal grants are not here, because
//! only refresh-svc may open a grant.

use clap::{Subcommand, ValueEnum};
use latchkey_signing_keys::{self as keys, Algorithm};
use serde_json::json;

use crate::answer::Answer;
use crate::failure::Failure;

/// The commands for keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a new key for SESSION_SIGNING_KEYS of auth-svc.
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
    /// RSA of 3072 bits: for gateways that support nothing else, such as the JWT authorizer of
    /// Amazon API Gateway. Slower, and the tokens are longer.
    Rs256,
}

/// Runs a command.
pub(crate) fn run(command: &Command) -> Result<Answer, Failure> {
    let Command::Generate { key_id, algorithm } = command;
    let algorithm = match algorithm {
        KeyAlgorithm::Eddsa => Algorithm::EdDSA,
        KeyAlgorithm::Es256 => Algorithm::ES256,
        KeyAlgorithm::Rs256 => Algorithm::RS256,
    };
    let key = keys::generate(algorithm, key_id.as_deref()).map_err(Failure::of)?;
    Ok(Answer::new(
        format!(
            "# for auth-svc only: whoever has this key can sign in as anyone\nSESSION_SIGNING_KEYS={key}"
        ),
        json!({ "SESSION_SIGNING_KEYS": key }),
    ))
}
