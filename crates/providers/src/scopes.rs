//! Two names of one scope.

use latchkey_domain::ScopeSet;

use crate::{ProviderKind, microsoft};

/// Google answers an identity scope by its long name
/// (<https://developers.google.com/identity/protocols/oauth2/scopes#oauth2>).
const GOOGLE_USERINFO: &str = "https://www.googleapis.com/auth/userinfo.";

/// The scopes of `wanted` that `granted` lacks, sorted; a provider's two names of
/// one scope are one. `kind` is absent where the provider is not known.
pub fn missing_scopes<'a>(
    kind: Option<ProviderKind>,
    granted: &ScopeSet,
    wanted: &'a ScopeSet,
) -> Vec<&'a str> {
    let same: fn(&str, &str) -> bool = match kind {
        Some(ProviderKind::Microsoft) => microsoft::same_scope,
        Some(ProviderKind::Google) => |one, other| google_scope(one) == google_scope(other),
        Some(ProviderKind::Oidc) | None => return granted.missing(wanted),
    };
    let mut missing = granted.missing(wanted);
    missing.retain(|wanted| !granted.iter().any(|granted| same(granted, wanted)));
    missing
}

fn google_scope(scope: &str) -> &str {
    match scope.strip_prefix(GOOGLE_USERINFO) {
        Some(short @ ("email" | "profile")) => short,
        _ => scope,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_two_names_of_a_scope_are_one() {
        let cases = [
            (
                ProviderKind::Google,
                "openid https://www.googleapis.com/auth/userinfo.email",
                "email openid",
                "",
            ),
            (
                ProviderKind::Google,
                "email",
                "https://www.googleapis.com/auth/userinfo.profile",
                "https://www.googleapis.com/auth/userinfo.profile",
            ),
            (
                ProviderKind::Microsoft,
                "Mail.Read",
                "https://graph.microsoft.com/mail.read Mail.Send",
                "Mail.Send",
            ),
            (ProviderKind::Oidc, "Mail", "mail", "mail"),
        ];
        for (kind, granted, wanted, missing) in cases {
            let wanted = ScopeSet::parse(wanted);
            let found = missing_scopes(Some(kind), &ScopeSet::parse(granted), &wanted);
            assert_eq!(found.join(" "), missing, "{granted}");
        }
    }
}
