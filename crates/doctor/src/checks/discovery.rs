//! Whether the discovery document and the keys of each provider are available.

use std::sync::Arc;

use futures::future::join_all;
use latchkey_providers::{FailureClass, Provider, ProviderError};

use crate::check_id::CheckId;
use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::world::World;

pub(crate) async fn check(world: &World) -> Outcome {
    let providers: Vec<&Arc<Provider>> = match world.sign_in_providers() {
        Some((_, registry)) => registry.iter().collect(),
        None => return Err(NotLooked::Because(CheckId::Environment)),
    };
    if providers.is_empty() {
        return Err(NotLooked::Because(CheckId::Providers));
    }
    let looks = providers.iter().map(|provider| provider.discover());
    let looked = join_all(looks).await;
    let seen = providers.iter().map(|one| one.discovery_url().to_string());
    let findings = providers.iter().zip(looked);
    Ok(Looked {
        seen: seen.collect(),
        findings: findings
            .filter_map(|(provider, result)| judge(provider.label(), result))
            .collect(),
        detail: None,
    })
}

fn judge(provider: &str, result: Result<(), ProviderError>) -> Option<Finding> {
    result.err().map(|error| Finding {
        code: "discovery",
        runbook: Runbook::Reason(FailureClass::Network),
        problem: format!("{provider}: {error}"),
        looked_at: format!("the discovery document and the keys of {provider}"),
        remedy:
            "compare the issuer with the provider's documentation; if it is right, look at name \
                 servers, proxies (HTTPS_PROXY) and SSL_CERT_FILE"
                .to_owned(),
    })
}
