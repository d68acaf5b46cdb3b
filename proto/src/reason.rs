//! The table of reasons: what `reason.proto` says of each.

include!("generated/latchkey.reason.v1.rs");

/// A reason with what goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its name on the wire.
    pub name: &'static str,
    /// Name of the gRPC code, as `FAILED_PRECONDITION`.
    pub code: &'static str,
    /// Whether to try again.
    pub retry: Retry,
    /// What it means.
    pub text: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// What AccountService calls it in `google.rpc.ErrorInfo.reason`.
    pub in_account_service: &'static str,
}

/// Every reason, in the order of the contract.
pub const ALL: &[Known] = include!("generated/reasons.rs");

impl Known {
    /// The reason of a name.
    pub fn of(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|known| known.name == name)
    }

    /// Its gRPC code.
    pub fn code(&self) -> tonic::Code {
        let all = (0..=16).map(tonic::Code::from);
        all.into_iter()
            .find(|code| wire_name(*code) == self.code)
            .unwrap_or(tonic::Code::Unknown)
    }
}

/// Name of a code in the contract: `DeadlineExceeded` is `DEADLINE_EXCEEDED`.
pub fn wire_name(code: tonic::Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// The table for people, in Markdown.
pub fn table() -> String {
    let mut text = String::from(
        "| reason | gRPC status | again | what it means | what to do |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for known in ALL {
        let again = match known.retry {
            Retry::Later => "after RetryInfo",
            Retry::Person => "after the person acted",
            Retry::Never | Retry::Unspecified => "no",
        };
        let Known {
            name,
            code,
            text: means,
            remedy,
            ..
        } = known;
        text.push_str(&format!(
            "| `{name}` | {code} | {again} | {means} | {remedy} |\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_the_table_of_the_contract() {
        let documentation = include_str!("../../docs/errors.md");
        assert!(
            documentation.contains(&table()),
            "the table of reasons in docs/errors.md must be\n{}",
            table()
        );
    }

    #[test]
    fn every_reason_has_a_code_that_there_is() {
        for known in ALL {
            assert_eq!(wire_name(known.code()), known.code, "{}", known.name);
            assert!(Reason::from_str_name(&format!("REASON_{}", known.name)).is_some());
        }
    }
}
