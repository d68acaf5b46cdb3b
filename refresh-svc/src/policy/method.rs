//! Methods of the token service, as the contract names them.

use std::fmt;
use std::sync::OnceLock;

/// Full name of the service that a policy speaks of.
pub const SERVICE: &str = "latchkey.token.v1.TokenService";

/// A method of the token service, e.g. `GetAccessToken`. Only those of the
/// contract exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(&'static str);

impl Method {
    /// Every method, read from the contract itself: a new one is closed until a
    /// policy names it.
    pub fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<Method>> = OnceLock::new();
        ALL.get_or_init(|| {
            let (package, name) = SERVICE.rsplit_once('.').unwrap_or_default();
            let names = latchkey_proto::methods_of(package, name);
            names.into_iter().map(|name| Method(name.leak())).collect()
        })
    }

    /// The method of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().iter().copied().find(|method| method.0 == name)
    }

    /// The method of a request's path, `/latchkey.token.v1.TokenService/…`.
    /// Nothing for other services; `Some(Err(…))` for an unknown method.
    pub fn of_path(path: &str) -> Option<Result<Self, ()>> {
        let name = path
            .strip_prefix('/')?
            .strip_prefix(SERVICE)?
            .strip_prefix('/')?;
        Some(Self::named(name).ok_or(()))
    }

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
        assert!(Method::named("GetAccessToken").is_some());
        assert!(Method::named("RevokeAccount").is_some());
        assert!(Method::named("getaccesstoken").is_none());
        let path = |method: &str| format!("/{SERVICE}/{method}");
        assert!(matches!(
            Method::of_path(&path("GetAccessToken")),
            Some(Ok(Method("GetAccessToken")))
        ));
        assert!(matches!(Method::of_path(&path("Nothing")), Some(Err(()))));
        assert!(Method::of_path("/grpc.health.v1.Health/Check").is_none());
    }
}
