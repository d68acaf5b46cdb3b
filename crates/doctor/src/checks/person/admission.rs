//! Whether the person would be let in, by the rule of auth-svc.

use std::fmt;

use latchkey_domain::Handle;
use latchkey_providers::{EmailStatus, Unverified};
use latchkey_workspaces::domain_list::DomainList;
use latchkey_workspaces::domain_policy::{
    Admission, Claims, DeploymentPolicy, Facts as PolicyFacts, Invitation, PolicyRefusal, decide,
};

use super::facts::{Facts, Workspace};
use crate::checks::environment::allowed_domains;
use crate::finding::Finding;
use crate::runbook::Runbook;
use crate::wording::listed;
use crate::world::World;

/// What the deployment configures, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Deployment {
    allowed_domains: DomainList,
    multi_workspace: bool,
    /// Whether the environment of auth-svc is given.
    is_known: bool,
}

impl Deployment {
    pub(super) fn of(world: &World) -> Self {
        let Some(source) = world.sources.iter().find(|source| source.is_auth_svc()) else {
            return Self::default();
        };
        let environment = &source.environment;
        Self {
            // A wrong value is a fault of the configuration.
            allowed_domains: allowed_domains(environment).unwrap_or_default(),
            multi_workspace: environment
                .flag("IS_MULTIWORKSPACE_ENABLED", false)
                .unwrap_or(false),
            is_known: true,
        }
    }

    /// A line if the decision may be another one at the service.
    pub(super) fn unknown(&self) -> Option<String> {
        (!self.is_known).then(|| {
            "AUTH_ALLOWED_DOMAINS of auth-svc is not known here: name its environment by --env"
                .to_owned()
        })
    }
}

/// The decision for one workspace.
#[derive(Debug)]
pub(super) struct Decision {
    workspace: String,
    outcome: Result<Admission, PolicyRefusal>,
    /// Somebody with the public link may join.
    has_public_link: bool,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workspace = &self.workspace;
        match &self.outcome {
            Ok(admission) => {
                let rule = match admission {
                    Admission::Member => "as a member",
                    Admission::ApprovedDomain => "by the domain of the address",
                    Admission::PublicInvite => "by the public link",
                    Admission::PersonalInvite => "by the personal invitation, with its link",
                };
                write!(f, "{workspace}: let in, {rule}")
            }
            Err(refusal) => {
                write!(f, "{workspace}: refused: {refusal}")?;
                if self.has_public_link {
                    f.write_str("; the public link is on")?;
                }
                Ok(())
            }
        }
    }
}

/// The decision for each workspace. A provider is assumed to vouch for the address, unless it did
/// not at the last sign-in.
pub(super) fn decide_all(
    deployment: &Deployment,
    address: &Handle,
    facts: &Facts,
) -> Vec<Decision> {
    let is_unverified = facts
        .identities
        .first()
        .is_some_and(|last| !last.email_verified);
    let status = if is_unverified {
        EmailStatus::Unverified(Unverified::NotSaid)
    } else {
        EmailStatus::Verified
    };
    let decided = |workspace: &Workspace| {
        let domains = DomainList::of_rows(workspace.domains.clone());
        let invited = facts
            .invitations
            .iter()
            .any(|one| one.workspace_id == workspace.id);
        let outcome = decide(&PolicyFacts {
            deployment: DeploymentPolicy {
                allowed_domains: &deployment.allowed_domains,
                multi_workspace: deployment.multi_workspace,
            },
            workspace: &domains,
            claims: Claims {
                email: Some(address),
                email_status: &status,
                hosted_domain: Some(address.domain()),
                needs_hosted_domain: false,
            },
            is_member: facts
                .memberships
                .iter()
                .any(|one| one.workspace_id == workspace.id),
            public_invite: Invitation::Absent,
            personal_invite: if invited {
                Invitation::Usable
            } else {
                Invitation::Absent
            },
        });
        Decision {
            workspace: workspace.name.clone(),
            outcome,
            has_public_link: workspace.public_invite_enabled,
        }
    };
    facts.workspaces.iter().map(decided).collect()
}

/// A finding if no workspace lets the person in.
pub(super) fn judge(address: &Handle, decisions: &[Decision]) -> Option<Finding> {
    if decisions.is_empty() {
        return Some(no_workspace());
    }
    if decisions.iter().any(|decision| decision.outcome.is_ok()) {
        return None;
    }
    let refusal = decisions
        .iter()
        .find_map(|decision| decision.outcome.as_ref().err())?;
    let workspaces = decisions.iter().map(|decision| decision.workspace.clone());
    Some(not_admitted(
        &address.for_people(),
        &workspaces.collect::<Vec<_>>(),
        refusal,
    ))
}

fn not_admitted(address: &str, workspaces: &[String], refusal: &PolicyRefusal) -> Finding {
    let by_deployment = matches!(
        refusal,
        PolicyRefusal::Domain {
            by_deployment: true,
            ..
        }
    );
    let (problem, remedy) = if by_deployment {
        (
            format!("{address} may not sign in: AUTH_ALLOWED_DOMAINS refuses: {refusal}"),
            "add the domain to AUTH_ALLOWED_DOMAINS of auth-svc and restart it; lists and \
             invitations of workspaces cannot extend it"
                .to_owned(),
        )
    } else {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        (
            format!(
                "{address} may not sign in to {}: {refusal}",
                listed(workspaces)
            ),
            format!(
                "approve the domain (`latchkey workspace approve-domain {domain}`), or invite the \
                 person (`latchkey workspace invite {address}`); of several workspaces name one \
                 by --workspace"
            ),
        )
    };
    Finding {
        code: "not_admitted",
        runbook: Runbook::SignIn,
        problem,
        looked_at: "AUTH_ALLOWED_DOMAINS, the domains of the workspaces, memberships and open \
                    invitations"
            .to_owned(),
        remedy,
    }
}

fn no_workspace() -> Finding {
    Finding {
        code: "no_workspace",
        runbook: Runbook::SignIn,
        problem: "there is no such workspace, so nobody can sign in to it".to_owned(),
        looked_at: "the workspaces in the database".to_owned(),
        remedy: "create one: `latchkey workspace create <name>`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::facts::Invitation as OpenInvitation;
    use super::*;

    fn workspace(name: &str, domains: &[&str]) -> Workspace {
        Workspace {
            id: Uuid::from_u128(name.len() as u128),
            name: name.to_owned(),
            public_invite_enabled: false,
            domains: domains.iter().map(ToString::to_string).collect(),
        }
    }

    fn judged(deployment: &Deployment, facts: &Facts) -> Option<Finding> {
        let address: Handle = "ada@acme.example".parse().unwrap();
        judge(&address, &decide_all(deployment, &address, facts))
    }

    fn code(deployment: &Deployment, facts: &Facts) -> Option<&'static str> {
        judged(deployment, facts).map(|finding| finding.code)
    }

    #[test]
    fn one_workspace_that_lets_the_person_in_is_enough() {
        let mut facts = Facts {
            workspaces: vec![workspace("Globex", &["globex.example"])],
            ..Facts::default()
        };
        let deployment = Deployment::default();
        assert_eq!(code(&deployment, &facts), Some("not_admitted"));
        facts.workspaces.push(workspace("Acme", &["acme.example"]));
        assert_eq!(judged(&deployment, &facts), None);
        facts.workspaces.clear();
        assert_eq!(code(&deployment, &facts), Some("no_workspace"));
    }

    #[test]
    fn an_open_invitation_lets_in_and_the_list_of_the_deployment_does_not() {
        let globex = workspace("Globex", &["globex.example"]);
        let facts = Facts {
            invitations: vec![OpenInvitation {
                workspace_id: globex.id,
                expires_at: time::OffsetDateTime::UNIX_EPOCH,
            }],
            workspaces: vec![globex],
            ..Facts::default()
        };
        assert_eq!(judged(&Deployment::default(), &facts), None);
        let closed = Deployment {
            allowed_domains: DomainList::parse(&["globex.example"]).unwrap(),
            ..Deployment::default()
        };
        let refused = judged(&closed, &facts).unwrap();
        assert!(refused.problem.contains("AUTH_ALLOWED_DOMAINS refuses"));
    }
}
