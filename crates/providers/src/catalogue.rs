//! The list of built-in providers, and facts by their names.

use latchkey_domain::ProviderName;

use crate::built_in::BuiltIn;
use crate::quirks::{Plain, Quirks};
use crate::{google, microsoft};

/// Every built-in provider.
pub(crate) static BUILT_IN: [&BuiltIn; 2] = [&google::GOOGLE, &microsoft::MICROSOFT];

fn find(name: &str) -> Option<&'static BuiltIn> {
    BUILT_IN.into_iter().find(|known| known.name == name)
}

fn quirks(name: &ProviderName) -> &'static dyn Quirks {
    let plain: &'static dyn Quirks = &Plain;
    find(name.as_str()).map_or(plain, |known| known.quirks)
}

/// Names of the built-in providers. No definition may have one of them.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.into_iter().map(|known| known.name)
}

/// Returns `true` if the name is that of a built-in provider.
pub fn is_built_in(name: &str) -> bool {
    find(name).is_some()
}

/// What is within the `<svg>` element of a built-in provider's logo. Its view box is
/// 24 by 24.
pub fn logo(name: &str) -> Option<&'static str> {
    find(name).map(|known| within_svg(known.logo))
}

fn within_svg(file: &'static str) -> &'static str {
    let after_start = file.split_once('>').map_or("", |(_, rest)| rest);
    after_start
        .rsplit_once("</svg>")
        .map_or("", |(inner, _)| inner)
}

/// Returns `true` if a verified address of `domain` proves that the person belongs to the
/// domain only together with [`hosted_domain`](crate::VerifiedIdentity::hosted_domain).
pub fn needs_hosted_domain(provider: &ProviderName, domain: &str) -> bool {
    quirks(provider).needs_hosted_domain(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_provider_has_a_name_and_a_logo() {
        for known in BUILT_IN {
            assert!(known.name.parse::<ProviderName>().is_ok(), "{}", known.name);
            assert!(
                known.logo.starts_with(
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 24 24\">"
                ),
                "{}",
                known.name
            );
            let drawing = logo(known.name).unwrap();
            assert!(drawing.starts_with("<path "), "{drawing}");
            assert!(drawing.ends_with("/>"), "{drawing}");
            assert!(!drawing.contains("<svg") && !drawing.contains("<script"));
        }
        assert_eq!(logo("acme"), None);
    }

    // R7
    #[test]
    fn a_verified_address_of_google_needs_the_hosted_domain() {
        let google = "google".parse().unwrap();
        assert!(needs_hosted_domain(&google, "acme.example"));
        assert!(!needs_hosted_domain(&google, "gmail.com"));
        assert!(!needs_hosted_domain(
            &"acme".parse().unwrap(),
            "acme.example"
        ));
    }
}
