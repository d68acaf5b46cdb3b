//! The gRPC services that a policy can be for, and their methods.

use std::fmt;
use std::sync::LazyLock;

/// A gRPC service that a policy can be for.
#[derive(Debug)]
pub struct Contract {
    /// Full name, e.g. `latchkey.token.v1.TokenService`.
    service: &'static str,
    /// The program that serves it.
    program: &'static str,
    /// Whether the service returns tokens, so that rules limit their scopes.
    limits_scopes: bool,
    methods: Vec<Method>,
}

static TOKENS: LazyLock<Contract> = LazyLock::new(|| {
    Contract::read(
        "latchkey.token.v1",
        "latchkey.token.v1.TokenService",
        "refresh-svc",
        true,
    )
});
static ACCOUNTS: LazyLock<Contract> = LazyLock::new(|| {
    Contract::read(
        "latchkey.account.v1",
        "latchkey.account.v1.AccountService",
        "sync-svc",
        false,
    )
});

impl Contract {
    /// `TokenService` of refresh-svc.
    pub fn tokens() -> &'static Self {
        &TOKENS
    }

    /// `AccountService` of sync-svc.
    pub fn accounts() -> &'static Self {
        &ACCOUNTS
    }

    /// The methods are read from the `.proto` files: a new method is forbidden until a
    /// policy names it.
    fn read(
        package: &str,
        service: &'static str,
        program: &'static str,
        limits_scopes: bool,
    ) -> Self {
        let name = service.rsplit_once('.').map_or(service, |(_, name)| name);
        let methods = latchkey_proto::methods_of(package, name)
            .into_iter()
            .map(|name| Method(name.leak()))
            .collect();
        Self {
            service,
            program,
            limits_scopes,
            methods,
        }
    }

    /// Full name of the service.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Name of the program that serves it.
    pub fn program(&self) -> &'static str {
        self.program
    }

    /// Returns `true` if rules must say which scopes a token may have.
    pub fn limits_scopes(&self) -> bool {
        self.limits_scopes
    }

    /// Every method.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// The method with this name.
    pub fn method(&self, name: &str) -> Option<Method> {
        self.methods.iter().copied().find(|method| method.0 == name)
    }

    /// The method of a request's path, `/<service>/<method>`. `None` for other
    /// services and for unknown methods of this one.
    pub fn method_of_path(&self, path: &str) -> Option<Method> {
        let name = path
            .strip_prefix('/')?
            .strip_prefix(self.service)?
            .strip_prefix('/')?;
        self.method(name)
    }

    /// The names of all methods, for error messages.
    pub fn known(&self) -> String {
        let names: Vec<_> = self.methods.iter().map(|method| method.0).collect();
        names.join(", ")
    }
}

/// A method of a contract, e.g. `GetAccessToken`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(&'static str);

impl Method {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R36
    #[test]
    fn the_contract_says_which_methods_there_are() {
        let tokens = Contract::tokens();
        assert!(tokens.method("GetAccessToken").is_some());
        assert!(tokens.method("RevokeAccount").is_some());
        assert!(tokens.method("getaccesstoken").is_none());
        assert!(tokens.method("ListAccounts").is_none());
        let path = |method: &str| format!("/{}/{method}", tokens.service());
        assert_eq!(
            tokens.method_of_path(&path("GetAccessToken")),
            Some(Method("GetAccessToken"))
        );
        assert_eq!(tokens.method_of_path(&path("Nothing")), None);
        assert!(
            tokens
                .method_of_path("/grpc.health.v1.Health/Check")
                .is_none()
        );
    }

    // R36: a rule for one service allows nothing of the other.
    #[test]
    fn each_service_has_methods_of_its_own() {
        let accounts = Contract::accounts();
        assert!(accounts.method("ListAccounts").is_some());
        assert!(accounts.method("GetAccessToken").is_none());
        assert!(
            accounts
                .method_of_path("/latchkey.token.v1.TokenService/GetAccessToken")
                .is_none()
        );
    }
}
