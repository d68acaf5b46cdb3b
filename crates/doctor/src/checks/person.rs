//! Why one person cannot sign in, or their mailbox or calendar does not sync.

mod account;
mod admission;
mod facts;

use latchkey_domain::{Handle, ProviderName};

use self::facts::Facts;
use super::entry_point;
use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::world::{Mode, World};

pub(crate) async fn check(world: &World) -> Outcome {
    let Some(address) = &world.person else {
        return Err(NotLooked::NotSet("--email"));
    };
    let pool = world.pool().await?;
    let facts = Facts::read(pool, address, world.workspace.as_deref())
        .await
        .map_err(|error| NotLooked::of_statement(&error))?;
    let deployment = admission::Deployment::of(world);
    let admissions = admission::decide_all(&deployment, address, &facts);
    let hosted_domain = hosted_domain(world).await;

    let mut seen = facts.lines();
    seen.extend(deployment.unknown());
    seen.extend(admissions.iter().map(ToString::to_string));
    let mut findings: Vec<Finding> = admission::judge(address, &admissions).into_iter().collect();
    findings.extend(judge_hosted_domain(address, hosted_domain));
    let providers = world.sign_in_providers().map(|(_, registry)| registry);
    let accounts = account::judge(address, &facts, providers, world.clock.now());
    seen.extend(accounts.switched_off);
    findings.extend(accounts.findings);
    Ok(Looked {
        seen,
        findings,
        detail: serde_json::to_value(&facts).ok(),
    })
}

/// The domain to which the sign-in at Google is restricted.
async fn hosted_domain(world: &World) -> Option<String> {
    if world.mode == Mode::BeforeDeploy {
        return None;
    }
    let base = entry_point::base(world)?;
    let (_, registry) = world.sign_in_providers()?;
    let google: ProviderName = ProviderName::GOOGLE.parse().ok()?;
    let provider = registry.get(&google)?;
    let start = entry_point::look(world, &base, &provider).await?;
    start.parameter("hd")
}

fn judge_hosted_domain(address: &Handle, hosted_domain: Option<String>) -> Option<Finding> {
    let other = hosted_domain.filter(|domain| domain != address.domain())?;
    Some(Finding {
        code: "hosted_domain",
        runbook: Runbook::SignIn,
        problem: format!(
            "Google shows {} only accounts of {other}: the sign-in has hd={other}",
            address.for_people()
        ),
        looked_at: "the parameter hd in the Location of the entry point".to_owned(),
        remedy: "take hd out of the link with which your front end begins the sign-in: it shows \
                 people accounts of one domain only"
            .to_owned(),
    })
}
