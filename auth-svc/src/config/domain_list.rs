use std::collections::BTreeSet;

/// Text that is no mail domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a domain such as company.com, without @, scheme or wildcard")]
pub struct InvalidDomain;

/// Reads a mail domain: lower case, exact, no wildcard.
///
/// # Errors
/// It is no domain name.
pub fn parse_domain(text: &str) -> Result<String, InvalidDomain> {
    let domain = text.trim().to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let valid = domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label);
    if valid {
        Ok(domain)
    } else {
        Err(InvalidDomain)
    }
}

/// Domains whose addresses anybody can have: approving one lets the world in.
const CONSUMER_DOMAINS: [&str; 87] = [
    "126.com",
    "139.com",
    "163.com",
    "aol.com",
    "bigpond.com",
    "btinternet.com",
    "comcast.net",
    "daum.net",
    "duck.com",
    "email.com",
    "fastmail.com",
    "fastmail.fm",
    "free.fr",
    "freenet.de",
    "gmail.com",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hanmail.net",
    "hey.com",
    "hotmail.co.uk",
    "hotmail.com",
    "hotmail.de",
    "hotmail.es",
    "hotmail.fr",
    "hotmail.it",
    "hushmail.com",
    "icloud.com",
    "inbox.ru",
    "laposte.net",
    "libero.it",
    "list.ru",
    "live.co.uk",
    "live.com",
    "live.de",
    "live.fr",
    "live.nl",
    "mac.com",
    "mail.com",
    "mail.ru",
    "mailbox.org",
    "me.com",
    "msn.com",
    "naver.com",
    "orange.fr",
    "outlook.com",
    "outlook.de",
    "outlook.es",
    "outlook.fr",
    "pm.me",
    "posteo.de",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "rambler.ru",
    "rediffmail.com",
    "rocketmail.com",
    "seznam.cz",
    "sina.com",
    "t-online.de",
    "tuta.com",
    "tutanota.com",
    "uol.com.br",
    "verizon.net",
    "virgilio.it",
    "wanadoo.fr",
    "web.de",
    "wp.pl",
    "ya.ru",
    "yahoo.ca",
    "yahoo.co.in",
    "yahoo.co.jp",
    "yahoo.co.uk",
    "yahoo.com",
    "yahoo.com.br",
    "yahoo.de",
    "yahoo.es",
    "yahoo.fr",
    "yahoo.it",
    "yandex.com",
    "yandex.ru",
    "ymail.com",
    "zoho.com",
    "zohomail.com",
];

/// True for a domain whose addresses anybody can have.
pub fn is_consumer_domain(domain: &str) -> bool {
    CONSUMER_DOMAINS.contains(&domain)
}

/// Domains, compared exactly: `company.com` is not `eu.company.com`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainList(BTreeSet<String>);

impl DomainList {
    /// Reads a list.
    ///
    /// # Errors
    /// One entry is no domain.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, InvalidDomain> {
        texts
            .iter()
            .map(|text| parse_domain(text.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Domains as the database holds them.
    pub fn of_rows(rows: Vec<String>) -> Self {
        Self(rows.into_iter().collect())
    }

    /// True where the domain is listed, to the letter.
    pub fn contains(&self, domain: &str) -> bool {
        self.0.contains(domain)
    }

    /// True where nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What both lists hold.
    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// The domains, sorted.
    pub fn to_vec(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R7
    #[test]
    fn several_domains_are_listed_and_none_stands_for_its_subdomains() {
        let list = DomainList::parse(&["company.com", "Company.CO"]).unwrap();
        assert!(list.contains("company.com") && list.contains("company.co"));
        assert!(!list.contains("eu.company.com") && !list.contains("company.co.uk"));
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for wrong in [
            "",
            "company",
            "*.company.com",
            "@company.com",
            "a@b.com",
            "https://b.com",
            "-a.com",
            "a..com",
            "a.com.",
        ] {
            assert_eq!(parse_domain(wrong), Err(InvalidDomain), "{wrong}");
        }
    }
}
