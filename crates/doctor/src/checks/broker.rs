//! Whether each broker can be reached, with its user and password.

use futures::future::join_all;
use latchkey_messaging::broker::{BrokerConfig, BrokerError};

use crate::finding::{CheckId, Finding};
use crate::outcome::{Looked, Outcome};
use crate::world::{Source, World, connect};

pub(crate) async fn check(world: &World) -> Outcome {
    let brokers = world.brokers();
    if brokers.is_empty() {
        return Err(world.without_variable("AMQP_URL", CheckId::Environment));
    }
    let looked = brokers.iter().enumerate();
    let findings =
        join_all(looked.map(|(position, (source, config))| look(world, position, source, config)));
    Ok(Looked {
        findings: findings.await.into_iter().flatten().collect(),
        seen: brokers.iter().map(|(_, config)| config.target()).collect(),
        detail: None,
    })
}

async fn look(
    world: &World,
    position: usize,
    source: &Source,
    config: &BrokerConfig,
) -> Option<Finding> {
    if position == 0 {
        let connected = world.connect_broker(config).await;
        return connected
            .as_ref()
            .err()
            .map(|error| judge(source, config, error));
    }
    match connect(config).await {
        Ok(connection) => {
            // It was only opened to see whether it can be.
            let _ = connection.close(200, "checked".into()).await;
            None
        }
        Err(error) => Some(judge(source, config, &error)),
    }
}

fn judge(source: &Source, config: &BrokerConfig, error: &BrokerError) -> Finding {
    let (source, target) = (source.name.clone(), config.target());
    if error.refuses_login() {
        Finding::BrokerLogin { source, target }
    } else if error.refuses_virtual_host() {
        Finding::BrokerVirtualHost { source, target }
    } else {
        Finding::Broker {
            target,
            problem: error.to_string(),
        }
    }
}
