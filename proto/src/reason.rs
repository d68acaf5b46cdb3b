//! The reasons of `reason.proto` and their options, as a table.

use tonic::Code;

include!("generated/latchkey.reason.v1.rs");

/// `google.rpc.ErrorInfo.domain` of every error of the services.
pub const DOMAIN: &str = "latchkey";

/// A reason with its options in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonInfo {
    /// Number of the value of [`Reason`].
    pub number: i32,
    /// Name of the value without `REASON_`, as in `google.rpc.ErrorInfo.reason`.
    pub name: &'static str,
    /// Name of the gRPC code, such as `FAILED_PRECONDITION`.
    pub code: &'static str,
    /// Whether the caller may try again.
    pub retry: Retry,
    /// The meaning, for people.
    pub text: &'static str,
    /// The remedy, for people.
    pub remedy: &'static str,
    /// The name in `google.rpc.ErrorInfo.reason` of AccountService.
    pub in_account_service: &'static str,
}

include!("generated/reasons.rs");

/// Stands for a number that is not in the contract.
const UNSPECIFIED: ReasonInfo = ReasonInfo {
    number: Reason::Unspecified as i32,
    name: "UNSPECIFIED",
    code: "UNKNOWN",
    retry: Retry::Unspecified,
    text: "",
    remedy: "",
    in_account_service: "UNSPECIFIED",
};

impl Reason {
    /// The options of this reason.
    pub fn info(self) -> &'static ReasonInfo {
        let found = ALL.iter().find(|info| info.number == self as i32);
        found.unwrap_or(&UNSPECIFIED)
    }

    /// The reason of a name without `REASON_`.
    pub fn from_name(name: &str) -> Option<Self> {
        ReasonInfo::of(name).map(ReasonInfo::reason)
    }
}

impl ReasonInfo {
    /// The reason of a name without `REASON_`.
    pub fn of(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|info| info.name == name)
    }

    /// The value of the enum.
    pub fn reason(&self) -> Reason {
        Reason::try_from(self.number).unwrap_or(Reason::Unspecified)
    }

    /// The gRPC code.
    pub fn code(&self) -> Code {
        let found = CODES.iter().find(|(name, _)| *name == self.code);
        found.map_or(Code::Unknown, |(_, code)| *code)
    }
}

/// The gRPC codes with their names in the contract.
const CODES: [(&str, Code); 17] = [
    ("OK", Code::Ok),
    ("CANCELLED", Code::Cancelled),
    ("UNKNOWN", Code::Unknown),
    ("INVALID_ARGUMENT", Code::InvalidArgument),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
    ("NOT_FOUND", Code::NotFound),
    ("ALREADY_EXISTS", Code::AlreadyExists),
    ("PERMISSION_DENIED", Code::PermissionDenied),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    ("FAILED_PRECONDITION", Code::FailedPrecondition),
    ("ABORTED", Code::Aborted),
    ("OUT_OF_RANGE", Code::OutOfRange),
    ("UNIMPLEMENTED", Code::Unimplemented),
    ("INTERNAL", Code::Internal),
    ("UNAVAILABLE", Code::Unavailable),
    ("DATA_LOSS", Code::DataLoss),
    ("UNAUTHENTICATED", Code::Unauthenticated),
];

/// The table of `docs/errors.md`, in Markdown.
pub fn table() -> String {
    let mut text = String::from(
        "| reason | gRPC status | again | what it means | what to do |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for info in ALL {
        let again = match info.retry {
            Retry::Later => "after RetryInfo",
            Retry::Person => "after the person acted",
            Retry::Never | Retry::Unspecified => "no",
        };
        let ReasonInfo {
            name,
            code,
            text: means,
            remedy,
            ..
        } = info;
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
    fn the_runbook_says_what_an_operator_does_about_every_reason() {
        let runbook = include_str!("../../docs/runbook.md");
        for info in ALL {
            let anchor = format!("<a id=\"{}\"></a>`{}`", info.name.to_lowercase(), info.name);
            assert!(
                runbook.contains(&anchor),
                "docs/runbook.md must have {anchor}"
            );
        }
    }

    #[test]
    fn every_reason_has_a_code_that_there_is() {
        for info in ALL {
            assert!(CODES.contains(&(info.code, info.code())), "{}", info.name);
            let reason = Reason::from_str_name(&format!("REASON_{}", info.name));
            assert_eq!(reason, Some(info.reason()));
            assert_eq!(info.reason().info(), info);
            assert_eq!(Reason::from_name(info.name), reason);
        }
        assert_eq!(Reason::Unspecified.info(), &UNSPECIFIED);
    }
}
