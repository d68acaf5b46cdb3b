//! Whether each broker can be reached, with its user and password.

use futures::future::join_all;
use latchkey_messaging::broker::{BrokerConfig, BrokerError};

use crate::check_id::CheckId;
use crate::finding::Finding;
use crate::outcome::{Looked, Outcome};
use crate::runbook::Runbook;
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
    let (source, target) = (&source.name, config.target());
    let logging_in = format!("AMQP_URL of {source}, by logging in");
    let (code, problem, looked_at, remedy) = if error.refuses_login() {
        (
            "broker_login",
            format!("the broker refuses the user or the password: {target}"),
            logging_in,
            "compare user and password of AMQP_URL with `rabbitmqctl authenticate_user`; characters \
             like @ and / are percent-encoded",
        )
    } else if error.refuses_virtual_host() {
        (
            "broker_virtual_host",
            format!("the broker refuses the virtual host: {target}"),
            logging_in,
            "create the virtual host, and give the user its rights in it (docs/operate.md, rights \
             at the broker)",
        )
    } else {
        (
            "broker",
            format!("the broker cannot be reached: {error}: {target}"),
            format!("AMQP_URL of {source}, by connecting"),
            "start RabbitMQ, or correct host and port of AMQP_URL, or the network policy between. \
             Sign-ins go on meanwhile, and their events wait in the outbox",
        )
    };
    Finding {
        code,
        runbook: Runbook::Broker,
        problem,
        looked_at,
        remedy: remedy.to_owned(),
    }
}
