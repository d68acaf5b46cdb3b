//! The policy that decides who may sign in to a workspace (R7). It has no I/O.
//!
//! 1. If the deployment has a list of domains, nobody from another domain may sign in,
//!    invited or not.
//! 2. The domains of the workspace may join. If the workspace has no list and the
//!    deployment has one workspace, the domains of the deployment may join.
//! 3. After that, the public invitation link counts if it is enabled, then a personal
//!    invitation, and last an existing membership.
//!
//! Only a verified address counts, and nobody joins with an address that is not verified.

use latchkey_domain::Handle;
use latchkey_providers::{EmailStatus, Mismatch, Unverified, for_log};

use crate::domain_list::DomainList;

/// What a provider says about a person's address.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    /// The address, if the provider gave one.
    pub email: Option<&'a Handle>,
    /// Whether an authority for the address has verified it.
    pub email_status: &'a EmailStatus,
    /// Google's claim `hd`.
    pub hosted_domain: Option<&'a str>,
    /// Whether a verified address is not enough and the claim `hd` is needed
    /// ([`needs_hosted_domain`](latchkey_providers::needs_hosted_domain)).
    pub needs_hosted_domain: bool,
}

impl<'a> Claims<'a> {
    /// Returns the address if it is verified.
    pub fn vouched_email(&self) -> Option<&'a Handle> {
        self.email
            .filter(|_| *self.email_status == EmailStatus::Verified)
    }

    /// Returns the domain of the address if the provider vouches that the person belongs to
    /// it.
    pub fn vouched_domain(&self) -> Option<&'a str> {
        let domain = self.vouched_email()?.domain();
        let authoritative = !self.needs_hosted_domain || self.hosted_domain.is_some();
        authoritative.then_some(domain)
    }
}

impl Claims<'_> {
    /// Returns why [`vouched_domain`](Self::vouched_domain) is `None`.
    fn not_vouched(&self, allowed: Vec<String>) -> PolicyRefusal {
        PolicyRefusal::NotVouched {
            address: self.email.cloned(),
            why: match self.email_status {
                EmailStatus::Verified => NotVouched::NoOrganisation,
                EmailStatus::Unverified(why) => NotVouched::Unverified(why.clone()),
            },
            allowed,
        }
    }
}

/// State of the invitation in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Invitation {
    /// The request has no invitation.
    #[default]
    Absent,
    /// The invitation is valid.
    Usable,
    /// The public link is disabled, or belongs to another workspace.
    SwitchedOff,
    /// It has expired.
    Expired,
    /// It was used.
    Used,
    /// It was revoked.
    Revoked,
    /// It is for another address, or does not exist.
    ForSomeoneElse,
}

/// The part of the policy that the deployment configures.
#[derive(Debug, Clone, Copy)]
pub struct DeploymentPolicy<'a> {
    /// Domains that may sign in to the deployment. If the list is empty, all may.
    pub allowed_domains: &'a DomainList,
    /// Whether the workspaces belong to different organisations.
    pub multi_workspace: bool,
}

impl DeploymentPolicy<'_> {
    /// Returns `true` if people of the domain may sign in to the deployment. `None` stands for
    /// people whose domain is not verified.
    pub fn allows(self, domain: Option<&str>) -> bool {
        self.allowed_domains.is_empty()
            || domain.is_some_and(|domain| self.allowed_domains.contains(domain))
    }

    /// Returns the domains whose people may join a workspace that has this list.
    pub fn joining_list(self, workspace: &DomainList) -> DomainList {
        if workspace.is_empty() && !self.multi_workspace {
            self.allowed_domains.clone()
        } else if self.allowed_domains.is_empty() {
            workspace.clone()
        } else {
            workspace.both(self.allowed_domains)
        }
    }
}

/// What the policy needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What the deployment configures.
    pub deployment: DeploymentPolicy<'a>,
    /// The list of the workspace.
    pub workspace: &'a DomainList,
    /// What the provider says about the address.
    pub claims: Claims<'a>,
    /// Whether the person is a member of the workspace.
    pub is_member: bool,
    /// State of the public link.
    pub public_invite: Invitation,
    /// State of the personal invitation.
    pub personal_invite: Invitation,
}

/// How a person is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// As a member.
    Member,
    /// Joins by the domain.
    ApprovedDomain,
    /// Joins by the public link.
    PublicInvite,
    /// Joins by a personal invitation, which is used then.
    PersonalInvite,
}

impl Admission {
    /// Returns the value of the column `auth.workspace_member.joined_by`, or `None` for a
    /// member.
    pub const fn joined_by(self) -> Option<&'static str> {
        match self {
            Self::Member => None,
            Self::ApprovedDomain => Some("APPROVED_DOMAIN"),
            Self::PublicInvite => Some("PUBLIC_INVITE"),
            Self::PersonalInvite => Some("PERSONAL_INVITE"),
        }
    }
}

/// Why a person is not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefusal {
    /// The address is not verified.
    #[error("nobody vouches for the address: {why}, {}", compared(.allowed, .address.as_ref()))]
    NotVouched {
        /// Address of the person.
        address: Option<Handle>,
        /// What is missing.
        why: NotVouched,
        /// Domains that would be admitted.
        allowed: Vec<String>,
    },
    /// The domain is not on the lists.
    #[error("the domain is not allowed: {}", compared(.allowed, .address.as_ref()))]
    Domain {
        /// Address of the person.
        address: Option<Handle>,
        /// Domains that are admitted.
        allowed: Vec<String>,
        /// Whether the deployment's list excludes the domain. Then an invitation does not
        /// help.
        by_deployment: bool,
    },
    /// The invitation is not valid.
    #[error("the invitation does not hold: {invitation:?}")]
    Invitation {
        /// State of the invitation.
        invitation: Invitation,
        /// Address of the person.
        address: Option<Handle>,
    },
}

/// Why an address or its domain does not count as verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotVouched {
    /// Google verified the address but names no organisation (`hd`) for it.
    #[error("Google names no organisation (hd)")]
    NoOrganisation,
    /// The address is not verified.
    #[error("{}", match .0 {
        Unverified::NotSaid => "the provider does not say that it is verified".to_owned(),
        Unverified::OtherDomain { may_vouch_for } =>
            format!("the provider may vouch for {} only", for_log(&may_vouch_for.join(", "))),
        Unverified::Unanswered(error) => format!("the ID token does not say, and {error}"),
    })]
    Unverified(Unverified),
}

/// Formats the allowed domains and the person's domain, without the name in the address.
fn compared(allowed: &[String], address: Option<&Handle>) -> Mismatch {
    let expected = if allowed.is_empty() {
        "an invitation".to_owned()
    } else {
        allowed.join(", ")
    };
    Mismatch::new(&expected, address.map(Handle::domain))
}

/// Decides how a person is admitted.
///
/// # Errors
/// Returns why the person is not admitted.
pub fn decide(facts: &Facts<'_>) -> Result<Admission, PolicyRefusal> {
    let list = facts.deployment.joining_list(facts.workspace);
    let allowed = || list.to_vec();
    let domain = facts.claims.vouched_domain();
    let address = || facts.claims.email.cloned();

    if !facts.deployment.allows(domain) {
        let allowed = if list.is_empty() {
            facts.deployment.allowed_domains.to_vec()
        } else {
            allowed()
        };
        return Err(match domain {
            Some(_) => PolicyRefusal::Domain {
                address: address(),
                allowed,
                by_deployment: true,
            },
            None => facts.claims.not_vouched(allowed),
        });
    }
    if facts.is_member {
        return Ok(Admission::Member);
    }
    if facts.claims.vouched_email().is_none() {
        return Err(facts.claims.not_vouched(allowed()));
    }
    if domain.is_some_and(|domain| list.contains(domain)) {
        return Ok(Admission::ApprovedDomain);
    }
    if facts.public_invite == Invitation::Usable {
        return Ok(Admission::PublicInvite);
    }
    if facts.personal_invite == Invitation::Usable {
        return Ok(Admission::PersonalInvite);
    }
    for invitation in [facts.personal_invite, facts.public_invite] {
        if invitation != Invitation::Absent {
            return Err(PolicyRefusal::Invitation {
                invitation,
                address: address(),
            });
        }
    }
    Err(match domain {
        Some(_) => PolicyRefusal::Domain {
            address: address(),
            allowed: allowed(),
            by_deployment: false,
        },
        None => facts.claims.not_vouched(allowed()),
    })
}

#[cfg(test)]
mod tests;
