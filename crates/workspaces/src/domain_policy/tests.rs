use latchkey_providers::needs_hosted_domain;

use super::Invitation::{Absent, Expired, ForSomeoneElse, SwitchedOff, Usable, Used};
use super::*;

#[expect(clippy::struct_excessive_bools, reason = "one field per fact")]
struct Case {
    deployment: &'static [&'static str],
    workspace: &'static [&'static str],
    multi_workspace: bool,
    email: &'static str,
    verified: bool,
    hosted: Option<&'static str>,
    google: bool,
    member: bool,
    public: Invitation,
    personal: Invitation,
}

const CASE: Case = Case {
    deployment: &[],
    workspace: &["company.com", "company.co"],
    multi_workspace: false,
    email: "a@company.com",
    verified: true,
    hosted: None,
    google: false,
    member: false,
    public: Invitation::Absent,
    personal: Invitation::Absent,
};

fn decided(case: &Case) -> Result<Admission, PolicyRefusal> {
    let email: Handle = case.email.parse().unwrap();
    let google = "google".parse().unwrap();
    decide(&Facts {
        deployment: DeploymentPolicy {
            allowed_domains: &DomainList::parse(case.deployment).unwrap(),
            multi_workspace: case.multi_workspace,
        },
        workspace: &DomainList::parse(case.workspace).unwrap(),
        claims: Claims {
            email: Some(&email),
            email_status: if case.verified {
                &EmailStatus::Verified
            } else {
                &EmailStatus::Unverified(Unverified::NotSaid)
            },
            hosted_domain: case.hosted,
            needs_hosted_domain: case.google && needs_hosted_domain(&google, email.domain()),
        },
        is_member: case.member,
        public_invite: case.public,
        personal_invite: case.personal,
    })
}

fn allowed(domains: &[&str]) -> Vec<String> {
    domains.iter().map(|&d| d.to_owned()).collect()
}

// R7
#[test]
fn every_domain_of_the_workspaces_list_comes_in_and_no_subdomain() {
    for email in ["a@company.com", "b@company.co"] {
        assert_eq!(
            decided(&Case { email, ..CASE }),
            Ok(Admission::ApprovedDomain)
        );
    }
    for email in [
        "a@eu.company.com",
        "a@company.com.evil.org",
        "a@xcompany.com",
    ] {
        let refusal = PolicyRefusal::Domain {
            address: email.parse().ok(),
            allowed: allowed(&["company.co", "company.com"]),
            by_deployment: false,
        };
        assert_eq!(decided(&Case { email, ..CASE }), Err(refusal), "{email}");
    }
}

// R7
#[test]
fn the_deployments_list_bounds_the_workspaces_and_every_invitation() {
    let case = Case {
        deployment: &["company.com"],
        ..CASE
    };
    assert_eq!(decided(&case), Ok(Admission::ApprovedDomain));
    let refusal = Err(PolicyRefusal::Domain {
        address: "b@company.co".parse().ok(),
        allowed: allowed(&["company.com"]),
        by_deployment: true,
    });
    let outside = Case {
        email: "b@company.co",
        ..case
    };
    assert_eq!(decided(&outside), refusal);
    assert_eq!(
        decided(&Case {
            personal: Invitation::Usable,
            public: Invitation::Usable,
            member: true,
            ..outside
        }),
        refusal
    );
}

// R7
#[test]
fn one_workspace_without_a_list_takes_the_deployments() {
    let case = Case {
        deployment: &["company.com"],
        workspace: &[],
        ..CASE
    };
    assert_eq!(decided(&case), Ok(Admission::ApprovedDomain));
    let many = Case {
        multi_workspace: true,
        ..case
    };
    assert!(decided(&many).is_err(), "another organisation's workspace");
}

// R7
#[test]
fn an_address_that_nobody_vouches_for_joins_nothing() {
    let case = Case {
        verified: false,
        ..CASE
    };
    for case in [
        Case { ..case },
        Case {
            public: Invitation::Usable,
            ..case
        },
        Case {
            personal: Invitation::Usable,
            ..case
        },
    ] {
        assert!(matches!(
            decided(&case),
            Err(PolicyRefusal::NotVouched { .. })
        ));
    }
}

// R7
#[test]
fn googles_verified_address_needs_the_hosted_domain_claim() {
    let case = Case {
        google: true,
        ..CASE
    };
    assert!(matches!(
        decided(&case),
        Err(PolicyRefusal::NotVouched { .. })
    ));
    // A secondary domain of the organisation: `hd` names the primary one.
    let hosted = Case {
        email: "a@company.co",
        hosted: Some("company.com"),
        ..case
    };
    assert_eq!(decided(&hosted), Ok(Admission::ApprovedDomain));
    let consumer = Case {
        email: "a@gmail.com",
        workspace: &["gmail.com"],
        ..case
    };
    assert_eq!(decided(&consumer), Ok(Admission::ApprovedDomain));
}

fn spoilt_for(invitation: Invitation) -> PolicyRefusal {
    PolicyRefusal::Invitation {
        invitation,
        address: "a@partner.org".parse().ok(),
    }
}

// R7
#[test]
fn invitations_and_membership_come_after_the_lists() {
    let outside = Case {
        email: "a@partner.org",
        ..CASE
    };
    let with = |public, personal, member| {
        decided(&Case {
            member,
            public,
            personal,
            ..outside
        })
    };
    assert_eq!(with(Usable, Absent, false), Ok(Admission::PublicInvite));
    assert_eq!(with(Absent, Usable, false), Ok(Admission::PersonalInvite));
    assert_eq!(with(SwitchedOff, Absent, true), Ok(Admission::Member));
    for spoilt in [SwitchedOff, Expired, Used, ForSomeoneElse] {
        assert_eq!(with(Absent, spoilt, false), Err(spoilt_for(spoilt)));
    }
    assert_eq!(
        with(SwitchedOff, Absent, false),
        Err(spoilt_for(SwitchedOff))
    );
}

// R7
#[test]
fn a_provider_opens_nothing_with_an_address_beyond_its_domains() {
    let email = "ada@company.com".parse().unwrap();
    let outside = EmailStatus::Unverified(Unverified::OtherDomain {
        may_vouch_for: vec!["partner.org".to_owned()],
    });
    for (public, personal) in [(Absent, Absent), (Usable, Absent), (Absent, Usable)] {
        let refusal = decide(&Facts {
            deployment: DeploymentPolicy {
                allowed_domains: &DomainList::default(),
                multi_workspace: true,
            },
            workspace: &DomainList::parse(&["company.com"]).unwrap(),
            claims: Claims {
                email: Some(&email),
                email_status: &outside,
                hosted_domain: None,
                needs_hosted_domain: false,
            },
            is_member: false,
            public_invite: public,
            personal_invite: personal,
        })
        .unwrap_err();
        let text = refusal.to_string();
        assert!(
            text.contains("partner.org") && text.contains("company.com"),
            "{text}"
        );
        assert!(!text.contains("ada"), "no name of a person: {text}");
    }
}

// R7
#[test]
fn a_refusal_carries_the_address_and_both_sides() {
    let refusal = decided(&Case {
        email: "ada@partner.org",
        ..CASE
    })
    .unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the domain is not allowed: expected company.co, company.com, got \"partner.org\""
    );
    let no_organisation = decided(&Case {
        google: true,
        ..CASE
    })
    .unwrap_err();
    assert!(no_organisation.to_string().contains("(hd)"));
}
