//! Every finding.

use std::fmt;

use latchkey_providers::FailureClass;
use latchkey_workspaces::domain_policy::PolicyRefusal;
use time::Duration;

use crate::certificate::Life;
use crate::database::DatabaseProblem;
use crate::runbook::Runbook;
use crate::service::Service;

/// A check, in the order in which one's failure explains the failure of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum CheckId {
    Environment,
    Clock,
    Database,
    Migrations,
    SealingKeys,
    Broker,
    Certificates,
    Providers,
    Discovery,
    RedirectUris,
    ClientCredentials,
    Versions,
    EntryPoint,
    Queues,
    Outbox,
    Failures,
    Person,
}

impl CheckId {
    pub(crate) const ALL: [Self; 17] = [
        Self::Environment,
        Self::Clock,
        Self::Database,
        Self::Migrations,
        Self::SealingKeys,
        Self::Broker,
        Self::Certificates,
        Self::Providers,
        Self::Discovery,
        Self::RedirectUris,
        Self::ClientCredentials,
        Self::Versions,
        Self::EntryPoint,
        Self::Queues,
        Self::Outbox,
        Self::Failures,
        Self::Person,
    ];
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Environment => "environment",
            Self::Clock => "clock",
            Self::Database => "database",
            Self::Migrations => "migrations",
            Self::SealingKeys => "sealing keys",
            Self::Broker => "broker",
            Self::Certificates => "certificates",
            Self::Providers => "providers",
            Self::Discovery => "discovery",
            Self::RedirectUris => "redirect URIs",
            Self::ClientCredentials => "client credentials",
            Self::Versions => "versions",
            Self::EntryPoint => "entry point",
            Self::Queues => "queues",
            Self::Outbox => "outbox",
            Self::Failures => "failures",
            Self::Person => "person",
        })
    }
}

/// The data that an account gives access to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    Messages,
    Calendar,
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Messages => "mail",
            Self::Calendar => "calendar",
        })
    }
}

/// What is wrong. Texts of others (providers, broker, operating system) are bounded and on one
/// line; nothing here is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// A check did not end in time.
    NoAnswer { check: CheckId },
    /// A variable is wrong or missing.
    Variable {
        source: String,
        name: String,
        problem: String,
    },
    /// A clock differs from this machine's; positive if it is ahead.
    Clock { whose: String, ahead: Duration },
    /// All the other clocks differ from this machine's by the same; positive if this one is ahead.
    OwnClock { ahead: Duration },
    /// The database cannot be used.
    Database {
        source: String,
        target: String,
        problem: DatabaseProblem,
    },
    /// Migrations are not applied.
    MigrationsMissing { missing: Vec<String> },
    /// It is not known which migrations are applied.
    MigrationsUnreadable { problem: String },
    /// The schema is newer than the version that is to be deployed.
    SchemaNewer { versions: Vec<i64> },
    /// Grants are sealed to a key that refresh-svc does not have.
    KeyLost { key: String, tokens: i64 },
    /// auth-svc seals with a key that refresh-svc does not have.
    KeyMismatch {
        public: String,
        private: Vec<String>,
    },
    /// The broker cannot be reached.
    Broker { target: String, problem: String },
    /// The broker refuses the user or the password.
    BrokerLogin { source: String, target: String },
    /// The broker refuses the virtual host.
    BrokerVirtualHost { source: String, target: String },
    /// The management API does not answer.
    ManagementApi { problem: String },
    /// An exchange or a queue is missing.
    TopologyMissing { name: String, problem: String },
    /// A binding is missing.
    NotBound {
        queue: String,
        exchange: String,
        routing_key: String,
    },
    /// Events had no queue.
    Unrouted {
        count: u32,
        routing_keys: Vec<String>,
    },
    /// Nobody consumes a queue in which messages wait.
    NotConsumed { queue: String, messages: u32 },
    /// Messages could not be handled.
    Parked { count: u32, reasons: Vec<String> },
    /// A certificate is not valid, or not for long.
    Certificate {
        label: String,
        subject: String,
        life: Life,
        left: String,
    },
    /// A server does not present a certificate.
    NoCertificate { label: String, problem: String },
    /// A provider has credentials and is switched off.
    ProviderDisabled { provider: String, switch: String },
    /// No provider is switched on.
    NoProvider,
    /// The discovery document or the keys of a provider are not available.
    Discovery { provider: String, problem: String },
    /// The provider does not accept the redirect URI.
    RedirectUri {
        provider: String,
        uri: String,
        variable: String,
        place: &'static str,
        reply: String,
    },
    /// The provider does not know the client id, or refuses the authorization request.
    AuthorizationRefused {
        provider: String,
        client_id: String,
        reply: String,
        about_client: bool,
    },
    /// The provider does not accept the client secret.
    ClientCredentials {
        source: String,
        provider: String,
        reply: String,
    },
    /// A service does not answer.
    ServiceDown {
        what: String,
        url: String,
        problem: String,
    },
    /// A service is not ready.
    NotReady {
        service: Service,
        url: String,
        checks: Vec<String>,
    },
    /// Another build runs than the one that was deployed.
    OtherBuild {
        service: Service,
        runs: String,
        expected: String,
    },
    /// The services are of different builds.
    BuildsDiffer { builds: Vec<String> },
    /// The running auth-svc does not offer a provider.
    NotOffered {
        provider: String,
        url: String,
        status: u16,
    },
    /// The running auth-svc sends browsers to the provider with another parameter.
    OtherParameter {
        provider: String,
        url: String,
        parameter: &'static str,
        runs: String,
        configured: String,
    },
    /// Events are not published.
    OutboxWaits {
        service: String,
        events: i64,
        oldest: Duration,
    },
    /// The same failure of many grants or calls.
    Refusals {
        reason: String,
        section: Runbook,
        count: i64,
        what: &'static str,
    },
    /// Channels failed.
    ChannelsFailed { count: i64, reason: String },
    /// Grants belong to another client id than the configured one.
    ClientChanged {
        provider: String,
        configured: String,
        accounts: i64,
    },
    /// The person may not sign in.
    NotAdmitted {
        address: String,
        workspaces: Vec<String>,
        refusal: Box<PolicyRefusal>,
    },
    /// There is no workspace to sign in to.
    NoWorkspace,
    /// The sign-in restricts Google's people to another domain.
    HostedDomain {
        address: String,
        hosted_domain: String,
    },
    /// Signed in, and no account.
    NoAccount {
        address: String,
        outbox_waits: bool,
        agreed: bool,
    },
    /// The person did not grant what is needed.
    NotGranted {
        account: String,
        data: Data,
        granted: Vec<String>,
    },
    /// The grant is dead.
    GrantDead {
        account: String,
        class: Option<FailureClass>,
    },
    /// The grant cannot be refreshed now.
    GrantFails {
        account: String,
        class: Option<FailureClass>,
    },
    /// The account has no grant, so no token can be read.
    NoGrant { account: String },
    /// A channel failed.
    ChannelFailed {
        account: String,
        data: Data,
        status: String,
        reason: String,
    },
    /// A channel waits for a sync worker.
    ChannelWaits {
        account: String,
        data: Data,
        stage: String,
        since: Duration,
    },
    /// A channel was not started by the person.
    ChannelNotStarted { account: String, data: Data },
}
