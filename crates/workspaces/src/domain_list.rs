//! The list of domains that a deployment allows.

use std::collections::BTreeSet;

use latchkey_domain::DomainName;
pub use latchkey_domain::InvalidDomain;

/// Parses a mail domain to its ASCII form. Wildcards are not allowed.
///
/// # Errors
/// Returns an error if the text is not a domain name.
pub fn parse_domain(text: &str) -> Result<String, InvalidDomain> {
    text.parse::<DomainName>().map(String::from)
}

/// A list of domains, compared exactly: `company.com` does not include `eu.company.com`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainList(BTreeSet<String>);

impl DomainList {
    /// Parses a list.
    ///
    /// # Errors
    /// Returns an error if an entry is not a domain name.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, InvalidDomain> {
        texts
            .iter()
            .map(|text| parse_domain(text.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Builds a list of rows of the database, in normalized form, because an operator may
    /// have written a row by SQL.
    pub fn of_rows(rows: Vec<String>) -> Self {
        let one_form = |row: String| parse_domain(&row).unwrap_or(row);
        Self(rows.into_iter().map(one_form).collect())
    }

    /// Returns `true` if the list has exactly this domain.
    pub fn contains(&self, domain: &str) -> bool {
        self.0.contains(domain)
    }

    /// Returns `true` if the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the domains that are in both lists.
    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// Returns the domains in alphabetical order.
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

    // R7
    #[test]
    fn an_international_domain_is_listed_once_in_either_form() {
        let list = DomainList::parse(&["Bücher.example", "xn--bcher-kva.example"]).unwrap();
        assert_eq!(list.to_vec(), ["xn--bcher-kva.example"]);
        let rows = vec!["bücher.example".to_owned(), "acme.example".to_owned()];
        let list = DomainList::of_rows(rows);
        assert!(list.contains("xn--bcher-kva.example") && list.contains("acme.example"));
    }
}
