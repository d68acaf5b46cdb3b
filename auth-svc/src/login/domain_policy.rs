//! Who may sign in to a workspace (R7): a decision over facts, without I/O.
//!
//! 1. The deployment's list, where there is one, bounds everything: nobody from
//!    another domain comes in, invited or not.
//! 2. The workspace's list lets its domains in. Where the workspace has none,
//!    a deployment with one workspace lets the deployment's domains in.
//! 3. Then the public invitation link where it is switched on, a personal
//!    invitation, and last membership.
//!
//! Only what the provider vouches for counts, and nobody joins with an address
//! that it does not vouch for.

use latchkey_domain::Handle;
use latchkey_providers::{EmailStatus, Mismatch, Unverified, for_log};

use crate::config::DomainList;

/// What a provider says about a person's address.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    /// Address, if there is one.
    pub email: Option<&'a Handle>,
    /// Whether somebody who may say so vouches for the address.
    pub email_status: &'a EmailStatus,
    /// Google's `hd` claim.
    pub hosted_domain: Option<&'a str>,
    /// Whether the provider vouches for the domain only together with `hosted_domain`
    /// ([`needs_hosted_domain`](latchkey_providers::needs_hosted_domain)).
    pub needs_hosted_domain: bool,
}

impl<'a> Claims<'a> {
    /// The address, where the provider vouches for it.
    pub fn vouched_email(&self) -> Option<&'a Handle> {
        self.email
            .filter(|_| *self.email_status == EmailStatus::Verified)
    }

    /// The address's domain, where the provider vouches that the person
    /// belongs to it.
    pub fn vouched_domain(&self) -> Option<&'a str> {
        let domain = self.vouched_email()?.domain();
        let authoritative = !self.needs_hosted_domain || self.hosted_domain.is_some();
        authoritative.then_some(domain)
    }
}

impl Claims<'_> {
    /// Why [`vouched_domain`](Self::vouched_domain) is `None`.
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

/// An invitation that the request carried, as the database knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Invitation {
    /// The request carried none.
    #[default]
    Absent,
    /// Good.
    Usable,
    /// The public link is switched off, or is none of this workspace's.
    SwitchedOff,
    /// Its time is over.
    Expired,
    /// It was used.
    Used,
    /// It was withdrawn.
    Revoked,
    /// It was made for another address, or for none that exists.
    ForSomeoneElse,
}

/// Everything that the decision needs.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Deployment-wide list.
    pub deployment: &'a DomainList,
    /// The workspace's list.
    pub workspace: &'a DomainList,
    /// True where workspaces belong to different organisations.
    pub multi_workspace: bool,
    /// What the provider says.
    pub claims: Claims<'a>,
    /// True where this identity belongs to the workspace already.
    pub is_member: bool,
    /// The public link.
    pub public_invite: Invitation,
    /// The personal invitation.
    pub personal_invite: Invitation,
}

/// How the person comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Belongs to the workspace already.
    Member,
    /// Joins by domain.
    ApprovedDomain,
    /// Joins by the public link.
    PublicInvite,
    /// Joins by a personal invitation, which is spent.
    PersonalInvite,
}

impl Admission {
    /// Value of `auth.workspace_member.joined_by`; none for a member.
    pub const fn joined_by(self) -> Option<&'static str> {
        match self {
            Self::Member => None,
            Self::ApprovedDomain => Some("APPROVED_DOMAIN"),
            Self::PublicInvite => Some("PUBLIC_INVITE"),
            Self::PersonalInvite => Some("PERSONAL_INVITE"),
        }
    }
}

/// Why the person does not come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefusal {
    /// Nobody vouches for the address.
    #[error("nobody vouches for the address: {why}, {}", compared(.allowed, .address.as_ref()))]
    NotVouched {
        /// Address that the person came with.
        address: Option<Handle>,
        /// What is missing.
        why: NotVouched,
        /// Domains that would be let in.
        allowed: Vec<String>,
    },
    /// The domain is not on the lists.
    #[error("the domain is not allowed: {}", compared(.allowed, .address.as_ref()))]
    Domain {
        /// Address that the person came with.
        address: Option<Handle>,
        /// Domains that are let in.
        allowed: Vec<String>,
        /// The deployment's list shuts the domain out: no invitation helps.
        by_deployment: bool,
    },
    /// The invitation does not hold.
    #[error("the invitation does not hold: {invitation:?}")]
    Invitation {
        /// What is wrong with it.
        invitation: Invitation,
        /// Address that the person came with.
        address: Option<Handle>,
    },
}

/// Why nobody vouches for an address, or for its domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotVouched {
    /// Google verified the address and names no organisation (`hd`) for it.
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

/// Both sides, without the person's name in the address.
fn compared(allowed: &[String], address: Option<&Handle>) -> Mismatch {
    let expected = if allowed.is_empty() {
        "an invitation".to_owned()
    } else {
        allowed.join(", ")
    };
    Mismatch::new(&expected, address.map(Handle::domain))
}

/// Decides.
///
/// # Errors
/// Why not.
pub fn decide(facts: &Facts<'_>) -> Result<Admission, PolicyRefusal> {
    let list = joining_list(facts);
    let allowed = || list.to_vec();
    let domain = facts.claims.vouched_domain();
    let address = || facts.claims.email.cloned();

    if !facts.deployment.is_empty() && !domain.is_some_and(|d| facts.deployment.contains(d)) {
        let allowed = if list.is_empty() {
            facts.deployment.to_vec()
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

/// The domains that let a person join.
fn joining_list(facts: &Facts<'_>) -> DomainList {
    if facts.workspace.is_empty() && !facts.multi_workspace {
        facts.deployment.clone()
    } else if facts.deployment.is_empty() {
        facts.workspace.clone()
    } else {
        facts.workspace.both(facts.deployment)
    }
}

#[cfg(test)]
mod tests;
