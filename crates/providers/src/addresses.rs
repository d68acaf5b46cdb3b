//! E-mail addresses in texts of other parties.

/// The text with `…@acme.example` in the place of `ada@acme.example`: a log and a trace say at which
/// domain something failed, and not for whom. Microsoft and others put the address of the person
/// into their descriptions of errors.
pub(crate) fn mask_addresses(text: &str) -> String {
    let is_of_address = |c: char| c.is_alphanumeric() || "._%+-=#~&!*".contains(c);
    let mut parts = text.split('@');
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let kept = masked.trim_end_matches(is_of_address).len();
        if kept < masked.len() {
            masked.truncate(kept);
            masked.push('…');
        }
        masked.push('@');
        masked.push_str(part);
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_domain_of_an_address_remains() {
        for (text, masked) in [
            (
                "AADSTS50020: User account 'ada.l+x@acme.example' from idp",
                "AADSTS50020: User account '…@acme.example' from idp",
            ),
            ("<Ada@b.example>, c@d.example", "<…@b.example>, …@d.example"),
            ("a@b@c", "…@…@c"),
            ("meet @ noon", "meet @ noon"),
            ("no address", "no address"),
            ("", ""),
        ] {
            assert_eq!(mask_addresses(text), masked);
        }
    }
}
