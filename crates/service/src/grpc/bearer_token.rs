//! The token of a service account, by which a service identifies itself to another one.

use latchkey_config::{ConfigError, Environment};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

const NAME: &str = "GRPC_CLIENT_TOKEN";

/// Adds the token to each call (RFC 6750, section 2.1), if there is one. The value is marked as
/// sensitive, so it is not printed.
#[derive(Debug, Clone, PartialEq)]
pub struct BearerToken(Option<MetadataValue<Ascii>>);

impl BearerToken {
    /// Reads `GRPC_CLIENT_TOKEN`, or the file that it names.
    pub(super) fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let Some(token) = environment.optional(NAME)? else {
            return Ok(Self(None));
        };
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
            .parse()
            .map_err(|_| ConfigError::new(NAME, "must be a token, which is one line of ASCII"))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for BearerToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}
