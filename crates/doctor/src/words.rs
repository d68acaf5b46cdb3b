//! All words of the findings, in one place.

use std::fmt;

use latchkey_providers::FailureClass;
use latchkey_workspaces::domain_policy::PolicyRefusal;
use time::Duration;

use crate::certificate::Life;
use crate::database::DatabaseProblem;
use crate::finding::Finding;
use crate::runbook::Runbook;

/// The words of a finding.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    /// For programs; does not change.
    pub code: &'static str,
    /// What is wrong.
    pub problem: String,
    /// What was looked at.
    pub looked_at: String,
    /// What to do.
    pub remedy: String,
    /// The section that says more.
    pub runbook: Runbook,
}

/// What is wrong, in one line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().problem)
    }
}

impl Finding {
    /// The words. Every finding has its row here and nowhere else.
    pub(crate) fn words(&self) -> Words {
        let words = |code, runbook, problem: String, looked_at: String, remedy: String| Words {
            code,
            problem: on_one_line(&problem),
            looked_at: on_one_line(&looked_at),
            remedy: on_one_line(&remedy),
            runbook,
        };
        match self {
            Self::NoAnswer { check } => words(
                "no_answer",
                Runbook::Database,
                format!("{check}: did not answer in time"),
                format!("the check \"{check}\", for its whole deadline"),
                "run doctor again; if it is the same, look at the load of the database, the broker or the provider that this check asks".into(),
            ),
            Self::Variable { source, name, problem } if is_sealing_key(name) => words(
                "sealing_key_missing",
                Runbook::SealingKey,
                format!("{source}: the sealing key: {name} {problem}"),
                format!("{name} in the environment of {source}"),
                format!("set {name}, or {name}_FILE to the path of a file, from your backup of the keys. Only if no grant was stored yet, make a pair with `refresh-svc keys generate`"),
            ),
            Self::Variable { source, name, problem } => words(
                "variable",
                Runbook::Variable,
                format!("{source}: {name} {problem}"),
                format!("{name} in the environment of {source}"),
                format!("correct {name} (docs/configuration.md), restart the service, and run `config check` of it"),
            ),
            Self::Clock { whose, ahead } => words(
                "clock",
                Runbook::Clock,
                format!("the clock of {whose} is {}", away(*ahead)),
                format!("the time of {whose}, against the clock of this machine"),
                format!("synchronize the clock of {whose} (NTP)"),
            ),
            Self::OwnClock { ahead } => words(
                "own_clock",
                Runbook::Clock,
                format!("the clock of this machine is {}", away(*ahead)),
                "the time of the database and of the providers, which agree with each other".into(),
                "synchronize the clock of this machine (NTP), and of the machines of the services if they are the same".into(),
            ),
            Self::Database { source, target, problem } => words(
                "database",
                Runbook::Database,
                format!("the database {problem}: {target}"),
                format!("DATABASE_URL of {source}, by connecting"),
                match problem {
                    DatabaseProblem::Login => "compare user and password of DATABASE_URL with the role of the database; characters like @ and / are percent-encoded",
                    DatabaseProblem::NoDatabase => "correct the name in DATABASE_URL, or create the database and run `latchkey-migrate`",
                    DatabaseProblem::Full => "close connections or raise max_connections: every replica needs DATABASE_MAX_CONNECTIONS and three more",
                    DatabaseProblem::ReadOnly => "point DATABASE_URL to the primary",
                    DatabaseProblem::Tls(_) => "set SSL_CERT_FILE to the authority of the server, or correct sslmode in DATABASE_URL",
                    _ => "start the server, or correct host and port of DATABASE_URL, or the network policy between",
                }
                .into(),
            ),
            Self::MigrationsMissing { missing } => words(
                "migration_missing",
                Runbook::Migration,
                format!("{} not applied: {}", counted(missing.len(), "migration is", "migrations are"), listed(missing)),
                "the migrations of this release, against those of the database".into(),
                "run `latchkey-migrate` of this release with the owner's DATABASE_URL".into(),
            ),
            Self::MigrationsUnreadable { problem } => words(
                "migrations_unreadable",
                Runbook::Migration,
                problem.clone(),
                "_sqlx_migrations, operators.migration".into(),
                "run `latchkey-migrate`, and grant latchkey_operator to the role of DATABASE_URL".into(),
            ),
            Self::SchemaNewer { versions } => words(
                "schema_newer",
                Runbook::Migration,
                format!("the schema is newer than this version: it has {}", listed(&texts(versions))),
                "the migrations of this release, against those of the database".into(),
                "do not run `latchkey-migrate` of this release; if this is a roll-back, deploy the services without it".into(),
            ),
            Self::KeyLost { key, tokens } => words(
                "sealing_key_lost",
                Runbook::SealingKey,
                format!("the sealing key {key} is missing: it sealed {}", counted(usize::try_from(*tokens).unwrap_or(0), "refresh token", "refresh tokens")),
                "the key ids of the stored grants, against SEALING_PRIVATE_KEYS of refresh-svc".into(),
                format!("add the key {key} to SEALING_PRIVATE_KEYS, behind the first one, from your backup of the keys"),
            ),
            Self::KeyMismatch { public, private } => words(
                "sealing_key_mismatch",
                Runbook::SealingKey,
                format!("refresh-svc cannot open what auth-svc seals: the key {public} is not among {}", listed(private)),
                "SEALING_PUBLIC_KEY of auth-svc and SEALING_PRIVATE_KEYS of refresh-svc".into(),
                "give both services the same pair; during a rotation refresh-svc gets the private key first".into(),
            ),
            Self::Broker { target, problem } => words(
                "broker",
                Runbook::Broker,
                format!("the broker cannot be reached: {problem}: {target}"),
                "AMQP_URL, by connecting".into(),
                "start RabbitMQ, or correct host and port of AMQP_URL, or the network policy between. Sign-ins go on meanwhile, and their events wait in the outbox".into(),
            ),
            Self::BrokerLogin { source, target } => words(
                "broker_login",
                Runbook::Broker,
                format!("the broker refuses the user or the password: {target}"),
                format!("AMQP_URL of {source}, by logging in"),
                "compare user and password of AMQP_URL with `rabbitmqctl authenticate_user`; characters like @ and / are percent-encoded".into(),
            ),
            Self::BrokerVirtualHost { source, target } => words(
                "broker_virtual_host",
                Runbook::Broker,
                format!("the broker refuses the virtual host: {target}"),
                format!("AMQP_URL of {source}, by logging in"),
                "create the virtual host, and give the user its rights in it (docs/operate.md, rights at the broker)".into(),
            ),
            Self::ManagementApi { problem } => words(
                "management_api",
                Runbook::Broker,
                format!("the management API of the broker does not answer: {problem}"),
                "RABBITMQ_API_URL".into(),
                "correct RABBITMQ_API_URL (http://user:password@host:15672; the user needs the tag `monitoring`), or unset it".into(),
            ),
            Self::TopologyMissing { name, problem } => words(
                "topology_missing",
                Runbook::Unrouted,
                format!("the broker does not show the {name}: {problem}"),
                format!("the {name}, by a passive declaration"),
                "start sync-svc, which declares every queue within QUEUES_CHECKED_EVERY; if it runs, its user lacks rights (docs/operate.md, rights at the broker)".into(),
            ),
            Self::NotBound { queue, exchange, routing_key } => words(
                "queue_not_bound",
                Runbook::Unrouted,
                format!("the queue {queue} is not bound to {exchange} by {routing_key:?}"),
                "the bindings in the management API".into(),
                "start sync-svc, which binds its queues again within QUEUES_CHECKED_EVERY and publishes what they missed; find out who removed the binding".into(),
            ),
            Self::Unrouted { count, routing_keys } => words(
                "unrouted",
                Runbook::Unrouted,
                format!("a queue is not bound: {} had none: {}", counted(*count as usize, "event", "events"), listed(routing_keys)),
                "the queue latchkey.unrouted".into(),
                "start sync-svc, which declares its queues and fetches these events; for a routing key of another consumer bind its queue, then `sync-svc unrouted redrive`".into(),
            ),
            Self::NotConsumed { queue, messages } => words(
                "not_consumed",
                if queue.starts_with("sync-svc") { Runbook::Account } else { Runbook::Channels },
                format!("nobody consumes the queue {queue}, in which {} waiting", counted(*messages as usize, "message is", "messages are")),
                format!("messages and consumers of {queue}"),
                if queue.starts_with("sync-svc") { "start sync-svc, and read its log" } else { "start the sync worker that consumes this queue: channels wait for it" }.into(),
            ),
            Self::Parked { count, reasons } => words(
                "parked",
                Runbook::Parked,
                format!("sync-svc could not handle {}: {}", counted(*count as usize, "message", "messages"), listed(reasons)),
                "the queue sync-svc.events.parked".into(),
                "remove the reason, then `sync-svc parked redrive --all`".into(),
            ),
            Self::Certificate { label, subject, life, left } => words(
                "certificate",
                Runbook::Certificate,
                match life {
                    Life::Expired => format!("a certificate has expired: {label} ({subject})"),
                    Life::NotYetValid => format!("a certificate is not valid yet: {label} ({subject})"),
                    Life::ExpiresSoon | Life::Valid => format!("a certificate expires soon, {left}: {label} ({subject})"),
                },
                label.clone(),
                "replace the file by a renewed certificate of the same authority; the services read it every second. If cert-manager should have done that, look at its Certificate".into(),
            ),
            Self::NoCertificate { label, problem } => words(
                "no_certificate",
                Runbook::Certificate,
                format!("{label}: no certificate: {problem}"),
                label.clone(),
                "start the server, or correct the address".into(),
            ),
            Self::ProviderDisabled { provider, switch } => words(
                "provider_disabled",
                Runbook::SignIn,
                format!("the provider {provider} is configured and switched off: {switch} is not true"),
                format!("{switch}, and the client id beside it"),
                format!("set {switch}=true, at auth-svc and at refresh-svc, or remove its client id"),
            ),
            Self::NoProvider => words(
                "no_provider",
                Runbook::SignIn,
                "no provider is switched on, so nobody can sign in".into(),
                "AUTH_GOOGLE_ENABLED, AUTH_MICROSOFT_ENABLED, AUTH_OIDC_<NAME>_ISSUER".into(),
                "switch a provider on (docs/providers.md)".into(),
            ),
            Self::Discovery { provider, problem } => words(
                "discovery",
                Runbook::Reason(FailureClass::Network),
                format!("{provider}: {problem}"),
                format!("the discovery document and the keys of {provider}"),
                "compare the issuer with the provider's documentation; if it is right, look at name servers, proxies (HTTPS_PROXY) and SSL_CERT_FILE".into(),
            ),
            Self::RedirectUri { provider, uri, variable, place, reply } => words(
                "redirect_uri",
                Runbook::SignIn,
                format!("{provider} does not accept the redirect URI {uri}: {reply}"),
                format!("an authorization request to {provider} with this redirect URI, without a person"),
                format!("register exactly this URI ({place}), or set {variable} to the one that is registered"),
            ),
            Self::AuthorizationRefused { provider, client_id, reply, about_client } => words(
                "authorization_refused",
                Runbook::SignIn,
                if *about_client {
                    format!("{provider} does not accept the client id {client_id}: {reply}")
                } else {
                    format!("{provider} refuses the authorization request: {reply}")
                },
                format!("an authorization request to {provider}, without a person"),
                format!("compare client id, scopes and consent screen with the registration at {provider}"),
            ),
            Self::ClientCredentials { source, provider, reply } => words(
                "client_credentials",
                Runbook::ClientSecret,
                format!("{provider} does not accept the client secret: {reply}"),
                format!("a token request to {provider} with the credentials of {source} and a code that does not exist"),
                format!("compare id and secret with the registration at {provider}: has the secret expired, was it replaced? Set it at auth-svc and refresh-svc and restart them"),
            ),
            Self::ServiceDown { what, url, problem } => words(
                "service_down",
                Runbook::NotReady,
                format!("{what} does not answer at {url}: {problem}"),
                url.clone(),
                format!("start {what} and read the last line of its log; if it runs, correct the address"),
            ),
            Self::NotReady { service, url, checks } => words(
                "not_ready",
                Runbook::NotReady,
                format!("{service} is not ready: {}", listed(checks)),
                format!("{url}readyz"),
                format!("the log of {service} has the reason (\"not ready\", with check and problem)"),
            ),
            Self::OtherBuild { service, runs, expected } => words(
                "other_build",
                Runbook::Version,
                format!("{service} runs {runs}, and not {expected}, which was deployed"),
                format!("/version of {service}"),
                "finish the roll-out, or look at why the new replicas do not start".into(),
            ),
            Self::BuildsDiffer { builds } => words(
                "builds_differ",
                Runbook::Version,
                format!("the services are of different builds: {}", listed(builds)),
                "/version of the services".into(),
                "finish the roll-out of the others; name the expected commit by --deployed".into(),
            ),
            Self::NotOffered { provider, url, status } => words(
                "not_offered",
                Runbook::SignIn,
                format!("the running auth-svc does not send people to {provider}: {url} answers {status}"),
                format!("{url}, without cookies"),
                format!("is {provider} switched on in the environment of the running auth-svc? Restart it after a change; a proxy must pass /auth/ on"),
            ),
            Self::OtherParameter { provider, url, parameter, runs, configured } => words(
                "other_parameter",
                Runbook::SignIn,
                format!("the running auth-svc sends people to {provider} with {parameter} {runs}, and configured is {configured}"),
                format!("the Location of {url}"),
                "restart auth-svc with this environment, or run doctor with the environment of auth-svc".into(),
            ),
            Self::OutboxWaits { service, events, oldest } => words(
                "outbox_waits",
                Runbook::Outbox,
                format!("{} of {service} not published, the oldest for {}", counted(usize::try_from(*events).unwrap_or(0), "event is", "events are"), long(*oldest)),
                format!("the outbox of {service}"),
                format!("read the log of {service}: \"outbox relay starts again\" has the error of the broker"),
            ),
            Self::Refusals { reason, section, count, what } => words(
                "refusals",
                *section,
                format!("{count} {what} {reason}"),
                "the state of the grants, and the audit of the last hour".into(),
                format!("the row of {reason} in the runbook"),
            ),
            Self::ChannelsFailed { count, reason } => words(
                "channels_failed",
                Runbook::Channels,
                format!("{} failed: {reason}", counted(usize::try_from(*count).unwrap_or(0), "channel has", "channels have")),
                "the channels at FAILED_UNKNOWN".into(),
                "`sync-svc channels failed` lists them; repair the sync worker, then `sync-svc channels restart --all`".into(),
            ),
            Self::ClientChanged { provider, configured, accounts } => words(
                "client_changed",
                Runbook::Reason(FailureClass::ClientChanged),
                format!("{} of {provider} belong to another client id than {configured}", counted(usize::try_from(*accounts).unwrap_or(0), "grant", "grants")),
                "the client ids of the stored grants, against the configured one".into(),
                "if the id was changed by mistake, set the former one again at once; otherwise these people have to sign in again".into(),
            ),
            Self::NotAdmitted { address, workspaces, refusal } => {
                let by_deployment = matches!(**refusal, PolicyRefusal::Domain { by_deployment: true, .. });
                words(
                    "not_admitted",
                    Runbook::SignIn,
                    if by_deployment {
                        format!("{address} may not sign in: AUTH_ALLOWED_DOMAINS refuses: {refusal}")
                    } else {
                        format!("{address} may not sign in to {}: {refusal}", listed(workspaces))
                    },
                    "AUTH_ALLOWED_DOMAINS, the domains of the workspaces, memberships and open invitations".into(),
                    if by_deployment {
                        "add the domain to AUTH_ALLOWED_DOMAINS of auth-svc and restart it; lists and invitations of workspaces cannot extend it".into()
                    } else {
                        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
                        format!("approve the domain (`latchkey workspace approve-domain {domain}`), or invite the person (`latchkey workspace invite {address}`)")
                    },
                )
            }
            Self::NoWorkspace => words(
                "no_workspace",
                Runbook::SignIn,
                "there is no such workspace, so nobody can sign in to it".into(),
                "the workspaces in the database".into(),
                "create one: `latchkey workspace create <name>`".into(),
            ),
            Self::HostedDomain { address, hosted_domain } => words(
                "hosted_domain",
                Runbook::SignIn,
                format!("Google shows {address} only accounts of {hosted_domain}: the sign-in has hd={hosted_domain}"),
                "the parameter hd in the Location of the entry point".into(),
                "take hd out of the link with which your front end begins the sign-in: it shows people accounts of one domain only".into(),
            ),
            Self::NoAccount { address, outbox_waits, agreed } => words(
                "no_account",
                Runbook::Account,
                format!("{address} signed in, and no account is connected"),
                "identities, memberships and accounts".into(),
                if *outbox_waits {
                    "events wait in the outbox of auth-svc: the account appears when they are published".into()
                } else if *agreed {
                    "look at `sync-svc parked list`, `sync-svc unrouted count` and AUTH_<P>_AUTO_CONNECT; the person can connect it at /auth/account/connections".to_owned()
                } else {
                    "the person did not agree to connect the mailbox: they do so at /auth/account/connections".into()
                },
            ),
            Self::NotGranted { account, data, granted } => words(
                "scope_not_granted",
                Runbook::Reason(FailureClass::InsufficientScopes),
                format!("{account} did not grant the {data} scope"),
                format!("the scopes of the grant: {}", listed(granted)),
                format!("the person signs in again and ticks the {data} on the provider's page; if it is not there, add the scope to the registration at the provider"),
            ),
            Self::GrantDead { account, class } => words(
                "grant_dead",
                class.map_or(Runbook::Channels, Runbook::Reason),
                format!("the grant of {account} does not work any more: {}", reason_of(*class)),
                "the state of the grant".into(),
                "the person signs in again; your application has received account.reauth_required.v1".into(),
            ),
            Self::GrantFails { account, class } => words(
                "grant_fails",
                class.map_or(Runbook::Channels, Runbook::Reason),
                format!("the grant of {account} cannot be refreshed now: {}", reason_of(*class)),
                "the state of the grant".into(),
                if class.is_some_and(FailureClass::is_operators) {
                    "you act: the row of this reason in the runbook. The grant is not lost".into()
                } else {
                    "refresh-svc tries again by itself; the row of this reason in the runbook says what helps".into()
                },
            ),
            Self::NoGrant { account } => words(
                "no_grant",
                Runbook::Reason(FailureClass::NoRefreshToken),
                format!("{account} has no refresh token, so its access ends within the hour"),
                "the state of the grant".into(),
                "the person signs in again with consent (`/auth/<provider>?prompt=consent`)".into(),
            ),
            Self::ChannelFailed { account, data, status, reason } => words(
                "channel_failed",
                Runbook::Channels,
                format!("the {data} channel of {account} is at {status}: {reason}"),
                "the channels of the account".into(),
                "repair the sync worker, then `sync-svc channels restart <account>`".into(),
            ),
            Self::ChannelWaits { account, data, stage, since } => words(
                "channel_waits",
                Runbook::Channels,
                format!("the {data} channel of {account} has been at {stage} for {}", long(*since)),
                "the channels of the account".into(),
                "start the sync worker that consumes the job queue, or look at why it does not report".into(),
            ),
            Self::ChannelNotStarted { account, data } => words(
                "channel_not_started",
                Runbook::Channels,
                format!("the {data} channel of {account} was not started"),
                "the channels of the account".into(),
                "with CONNECT_MODE=confirm the person starts it at /auth/account/connections".into(),
            ),
        }
    }
}

fn is_sealing_key(name: &str) -> bool {
    name.starts_with("SEALING_PUBLIC_KEY") || name.starts_with("SEALING_PRIVATE_KEYS")
}

fn reason_of(class: Option<FailureClass>) -> &'static str {
    class.map_or("the reason is not recorded", FailureClass::reason)
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// Up to five of the items.
fn listed(items: &[String]) -> String {
    const MOST: usize = 5;
    let more = items.len().saturating_sub(MOST);
    let shown: Vec<&str> = items.iter().take(MOST).map(String::as_str).collect();
    match (shown.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A length of time with its largest unit.
pub(crate) fn long(duration: Duration) -> String {
    let seconds = duration.whole_seconds().abs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn away(ahead: Duration) -> String {
    let direction = if ahead.is_negative() {
        "behind"
    } else {
        "ahead"
    };
    format!("{} {direction}", long(ahead))
}

/// Texts of others may have several lines, or characters that change a terminal.
fn on_one_line(text: &str) -> String {
    const MOST: usize = 600;
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_whatever_others_answered() {
        let finding = Finding::Discovery {
            provider: "acme".to_owned(),
            problem: "a\n\u{1b}[31mb".repeat(1_000),
        };
        let words = finding.words();
        assert!(!words.problem.contains(char::is_control));
        assert!(words.problem.chars().count() <= 600);
    }

    #[test]
    fn lengths_of_time_have_one_unit() {
        assert_eq!(long(Duration::seconds(119)), "119 s");
        assert_eq!(away(Duration::minutes(-5)), "5 min behind");
        assert_eq!(long(Duration::hours(47)), "47 h");
        assert_eq!(long(Duration::days(3)), "3 d");
    }

    #[test]
    fn long_lists_are_cut() {
        let items: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        assert_eq!(listed(&items), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(listed(&[]), "none");
    }
}
