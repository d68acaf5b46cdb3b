//! Mail domains in which anybody can have an address.

use std::collections::BTreeSet;
use std::sync::LazyLock;

/// One domain on each line, in ASCII form, sorted.
const LIST: &str = include_str!("../data/consumer_domains.txt");

static DOMAINS: LazyLock<BTreeSet<&str>> = LazyLock::new(|| LIST.lines().collect());

/// Returns `true` for a domain in which anybody can have an address. `domain` is in ASCII
/// form ([`DomainName`](latchkey_domain::DomainName)).
pub fn is_consumer_domain(domain: &str) -> bool {
    DOMAINS.contains(domain)
}

#[cfg(test)]
mod tests {
    use latchkey_domain::DomainName;

    use super::*;

    #[test]
    fn the_list_has_sorted_domains_in_ascii_form() {
        let lines: Vec<&str> = LIST.lines().collect();
        assert!(lines.is_sorted());
        assert_eq!(lines.len(), DOMAINS.len());
        for line in lines {
            let domain: DomainName = line.parse().unwrap();
            assert_eq!(domain.as_str(), line);
        }
    }

    // R7
    #[test]
    fn only_listed_domains_are_consumer_domains() {
        assert!(is_consumer_domain("gmail.com"));
        assert!(!is_consumer_domain("mail.gmail.com"));
        assert!(!is_consumer_domain("company.com"));
    }
}
