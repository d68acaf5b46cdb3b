//! Runs doctor: reads the environment and runs the checks.

use std::sync::Arc;
use std::time::Instant;

use latchkey_config::{ConfigError, ConfigErrors, Environment, read_all};
use latchkey_domain::Clock;
use tokio::sync::OnceCell;
use url::Url;

use crate::arguments::Doctor;
use crate::check::run_all;
use crate::check_id::CheckId;
use crate::environment_source::EnvironmentSource;
use crate::progress::Progress;
use crate::report::Report;
use crate::world::{Mode, Source, World};

/// The variable with the management API of the broker.
const MANAGEMENT: &str = "RABBITMQ_API_URL";

impl Doctor {
    /// Examines with these variables and this clock. Prints nothing but the progress.
    ///
    /// # Errors
    /// A file of `--env` cannot be read, a variable of doctor itself is wrong, or no variable
    /// names anything to look at.
    pub async fn examine(
        &self,
        environment: &Environment,
        clock: Arc<dyn Clock>,
    ) -> Result<Report, ConfigErrors> {
        let began = Instant::now();
        let world = self.world(environment, clock)?;
        let progress = Progress::of(&CheckId::ALL);
        let checks = run_all(&world, &progress).await;
        Ok(Report::new(checks, began.elapsed()))
    }

    fn world(&self, own: &Environment, clock: Arc<dyn Clock>) -> Result<World, ConfigErrors> {
        read_all! {
            let management = own.optional_parsed::<Url>(MANAGEMENT);
            let sources = self.sources(own);
            let http = World::http().map_err(|problem| ConfigError::new("SSL_CERT_FILE", problem));
        }
        let mode = match (self.before_deploy, &self.after_deploy) {
            (true, _) => Mode::BeforeDeploy,
            (false, Some(_)) => Mode::AfterDeploy,
            (false, None) => Mode::Now,
        };
        Ok(World {
            mode,
            clock,
            sources,
            http,
            operator_ports: self.operator_port.clone(),
            entry_point: self
                .after_deploy
                .clone()
                .or_else(|| self.entry_point.clone()),
            management,
            deployed: self.deployed.clone(),
            person: self.email.clone(),
            workspace: self.workspace.clone(),
            database: OnceCell::new(),
            broker: OnceCell::new(),
        })
    }

    /// The environments of the services. That of this process comes first: its role in the
    /// database reads the most.
    fn sources(&self, own: &Environment) -> Result<Vec<Source>, ConfigErrors> {
        const OWN: &str = "this environment";
        let mut sources = Vec::new();
        let mut errors = ConfigErrors::default();
        let is_own = |source: &EnvironmentSource| source.file.is_none();
        let names_anything = ["DATABASE_URL", "AMQP_URL", "PUBLIC_URL"]
            .iter()
            .any(|name| !matches!(own.optional(name), Ok(None)));
        if names_anything && !self.env.iter().any(is_own) {
            sources.push(Source::new(OWN.to_owned(), None, own.clone()));
        }
        for one in &self.env {
            if let Some(environment) = errors.take(one.read(own)) {
                let name = one.service.to_string();
                sources.push(Source::new(name, Some(one.service), environment));
            }
        }
        if sources.is_empty() {
            errors.add(ConfigError::new(
                "DATABASE_URL",
                "is missing, and so are AMQP_URL and PUBLIC_URL: set the variables of a service, \
                 or name a file with them, such as --env auth-svc=auth-svc.env",
            ));
        }
        errors.or(sources)
    }
}
