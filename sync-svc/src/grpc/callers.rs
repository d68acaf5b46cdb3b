//! Who may call, and what (R36): `GRPC_CALLERS`.

use std::sync::Arc;

use latchkey_config::{ConfigError, Environment};
use latchkey_service::grpc::{Admission, Pattern, Peer, caller_not_allowed, caller_unknown};
use tonic::Status;
use tonic::body::Body;

/// Paths of the account service's methods begin with it; health and reflection
/// tell nothing of anybody.
const PATH: &str = "/latchkey.account.v1.AccountService/";
const VARIABLE: &str = "GRPC_CALLERS";
/// Everybody with a certificate of the authority: development.
const ANY_CERTIFICATE: &str = "any-certificate";

/// Callers by the names in their certificates, and the methods that each may
/// call. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Callers {
    /// Whoever has a certificate of the authority.
    AnyCertificate,
    /// These.
    Named(Arc<[Allowed]>),
}

/// A caller of the list.
#[derive(Debug, Clone)]
pub struct Allowed {
    caller: Pattern,
    /// Nothing: every method.
    methods: Option<Vec<String>>,
}

impl Callers {
    /// Reads `GRPC_CALLERS`: names with commas between, each alone or with its
    /// methods, `auth-svc=ListAccounts+GetAccount`.
    ///
    /// # Errors
    /// It is missing, or names something that is no caller or no method.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let list = environment.list(VARIABLE)?;
        if list == [ANY_CERTIFICATE] {
            return Ok(Self::AnyCertificate);
        }
        if list.is_empty() {
            let problem = "is missing: set it to the names of those who may call, as \
                           auth-svc=ListAccounts+GetAccount,mail.internal, or to any-certificate \
                           for development";
            return Err(ConfigError::new(VARIABLE, problem));
        }
        let methods = latchkey_proto::methods_of("latchkey.account.v1", "AccountService");
        list.iter()
            .map(|entry| Allowed::parse(entry, &methods))
            .collect::<Result<_, _>>()
            .map(Self::Named)
            .map_err(|problem| ConfigError::new(VARIABLE, problem))
    }

    fn allow(&self, name: &str, method: &str) -> bool {
        match self {
            Self::AnyCertificate => true,
            Self::Named(list) => list.iter().any(|allowed| allowed.allows(name, method)),
        }
    }

    fn judge(&self, peer: Option<&Peer>, method: &str) -> Result<(), Status> {
        let certificate = peer.and_then(|peer| peer.certificate.as_ref());
        let certificate = certificate.ok_or_else(caller_unknown)?;
        if let Self::AnyCertificate = self {
            return Ok(());
        }
        if certificate.names().next().is_none() {
            return Err(caller_unknown());
        }
        let mut names = certificate.names();
        if names.any(|name| self.allow(name, method)) {
            Ok(())
        } else {
            Err(caller_not_allowed())
        }
    }
}

impl Allowed {
    fn parse(entry: &str, known: &[String]) -> Result<Self, String> {
        let (caller, methods) = match entry.split_once('=') {
            None => (entry, None),
            Some((caller, methods)) => (caller, Some(methods.split('+').map(str::to_owned))),
        };
        let methods: Option<Vec<String>> = methods.map(Iterator::collect);
        let unknown = methods.iter().flatten().find(|name| !known.contains(name));
        if let Some(name) = unknown {
            return Err(format!(
                "{name:?} is no method: there are {}",
                known.join(", ")
            ));
        }
        Ok(Self {
            caller: caller
                .parse()
                .map_err(|error| format!("is wrong: {error}"))?,
            methods,
        })
    }

    fn allows(&self, name: &str, method: &str) -> bool {
        let methods = self.methods.as_ref();
        self.caller.matches(name)
            && methods.is_none_or(|methods| methods.iter().any(|known| known == method))
    }
}

impl Admission for Callers {
    fn admit(&self, request: &mut http::Request<Body>) -> Result<(), Status> {
        let Some(method) = request.uri().path().strip_prefix(PATH) else {
            return Ok(());
        };
        let peer = request.extensions().get::<Peer>();
        self.judge(peer, method).inspect_err(|_| {
            let certificate = peer.and_then(|peer| peer.certificate.as_ref());
            tracing::warn!(
                caller = certificate.and_then(|known| known.names().next()),
                address = peer.map(|peer| peer.address.to_string()),
                rpc.method = method,
                "a caller was refused"
            );
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn callers(value: &str) -> Result<Callers, ConfigError> {
        Callers::from_environment(&[(VARIABLE, value)].into_iter().collect())
    }

    // R36
    #[test]
    fn a_caller_may_what_is_written_behind_its_name_and_all_where_nothing_is() {
        let callers = callers("auth-svc=ListAccounts+GetAccount, spiffe://a.example/*/mail");
        let callers = callers.unwrap();
        assert!(callers.allow("auth-svc", "GetAccount"));
        assert!(!callers.allow("auth-svc", "ReportSync"));
        assert!(callers.allow("spiffe://a.example/sync/mail", "ReportSync"));
        assert!(!callers.allow("mail", "GetAccount"));
    }

    // R36, R40
    #[test]
    fn a_missing_or_wrong_list_names_the_variable() {
        for (wrong, words) in [
            ("", "is missing"),
            ("*", "is no caller"),
            ("auth-svc=Everything", "GetAccount"),
            ("auth-svc=", "is no method"),
            ("any-certificate=GetAccount+", "is no method"),
        ] {
            let error = callers(wrong).unwrap_err();
            assert_eq!(error.name, VARIABLE);
            assert!(error.problem.contains(words), "{wrong}: {error}");
        }
    }
}
