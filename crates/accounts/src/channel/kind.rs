use std::fmt;
use std::str::FromStr;

/// The kind of data that a channel synchronizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Mail.
    Message,
    /// Calendar.
    Calendar,
}

impl Kind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Message, Self::Calendar];

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "MESSAGE",
            Self::Calendar => "CALENDAR",
        }
    }
}

/// The text is not the name of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be MESSAGE or CALENDAR")]
pub struct InvalidKind;

impl FromStr for Kind {
    type Err = InvalidKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or(InvalidKind)
    }
}

/// The status that people see.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SyncStatus {
    /// Not started.
    NotSynced,
    /// The first sync runs or is queued.
    Ongoing,
    /// Synchronized, and kept up to date.
    Active,
    /// The person granted less than the channel needs, or the grant died.
    FailedInsufficientPermissions,
    /// Failed for another reason.
    FailedUnknown,
    /// A status of a newer version, which runs beside this one during an upgrade.
    Other(String),
}

impl SyncStatus {
    /// The name in the database and for people.
    pub fn as_str(&self) -> &str {
        match self {
            Self::NotSynced => "NOT_SYNCED",
            Self::Ongoing => "ONGOING",
            Self::Active => "ACTIVE",
            Self::FailedInsufficientPermissions => "FAILED_INSUFFICIENT_PERMISSIONS",
            Self::FailedUnknown => "FAILED_UNKNOWN",
            Self::Other(name) => name,
        }
    }

    /// Reads the name in the database.
    pub fn stored(name: String) -> Self {
        [
            Self::NotSynced,
            Self::Ongoing,
            Self::Active,
            Self::FailedInsufficientPermissions,
            Self::FailedUnknown,
        ]
        .into_iter()
        .find(|status| status.as_str() == name)
        .unwrap_or(Self::Other(name))
    }
}

impl fmt::Display for SyncStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The step of the work; both kinds have the same steps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The person has not confirmed the start.
    PendingConfiguration,
    /// The list of what changed is to be fetched.
    ListFetchPending,
    /// A worker will fetch the list.
    ListFetchScheduled,
    /// A worker fetches the list.
    ListFetchOngoing,
    /// The items of the list are to be imported.
    ImportPending,
    /// A worker will import.
    ImportScheduled,
    /// A worker imports.
    ImportOngoing,
    /// The sync failed: nothing runs until a person or an operator acts.
    Failed,
    /// A stage of a newer version, which runs beside this one during an upgrade. It
    /// is stored and shown unchanged; the sweep leaves it to the newer version.
    Other(String),
}

impl Stage {
    /// Every stage that this version knows.
    pub const ALL: [Self; 8] = [
        Self::PendingConfiguration,
        Self::ListFetchPending,
        Self::ListFetchScheduled,
        Self::ListFetchOngoing,
        Self::ImportPending,
        Self::ImportScheduled,
        Self::ImportOngoing,
        Self::Failed,
    ];

    /// Stages in which a job waits for a worker. There is no limit to the wait.
    pub const WAITING: [Self; 4] = [
        Self::ListFetchPending,
        Self::ListFetchScheduled,
        Self::ImportPending,
        Self::ImportScheduled,
    ];
    /// Stages in which a worker is at work and reports regularly.
    pub const AT_WORK: [Self; 2] = [Self::ListFetchOngoing, Self::ImportOngoing];

    /// The name in the database and for people.
    pub fn name(&self, kind: Kind) -> &str {
        let [message, calendar] = match self {
            Self::PendingConfiguration => ["PENDING_CONFIGURATION"; 2],
            Self::ListFetchPending => [
                "MESSAGE_LIST_FETCH_PENDING",
                "CALENDAR_EVENT_LIST_FETCH_PENDING",
            ],
            Self::ListFetchScheduled => [
                "MESSAGE_LIST_FETCH_SCHEDULED",
                "CALENDAR_EVENT_LIST_FETCH_SCHEDULED",
            ],
            Self::ListFetchOngoing => [
                "MESSAGE_LIST_FETCH_ONGOING",
                "CALENDAR_EVENT_LIST_FETCH_ONGOING",
            ],
            Self::ImportPending => ["MESSAGES_IMPORT_PENDING", "CALENDAR_EVENTS_IMPORT_PENDING"],
            Self::ImportScheduled => [
                "MESSAGES_IMPORT_SCHEDULED",
                "CALENDAR_EVENTS_IMPORT_SCHEDULED",
            ],
            Self::ImportOngoing => ["MESSAGES_IMPORT_ONGOING", "CALENDAR_EVENTS_IMPORT_ONGOING"],
            Self::Failed => ["FAILED"; 2],
            Self::Other(name) => [name.as_str(); 2],
        };
        match kind {
            Kind::Message => message,
            Kind::Calendar => calendar,
        }
    }

    /// The names of these stages in the database, for both kinds.
    pub fn names(stages: &[Self]) -> Vec<&str> {
        stages
            .iter()
            .flat_map(|stage| Kind::ALL.map(|kind| stage.name(kind)))
            .collect()
    }

    /// Reads the name that a worker reported; `None` if this version does not know it.
    pub fn parse(kind: Kind, name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name(kind) == name)
    }

    /// Reads the name in the database.
    pub fn stored(kind: Kind, name: String) -> Self {
        Self::parse(kind, &name).unwrap_or(Self::Other(name))
    }

    /// Returns `true` if a job waits for a worker.
    pub fn awaits_worker(&self) -> bool {
        Self::WAITING.contains(self)
    }

    /// Returns `true` if a worker is at work.
    pub fn is_at_work(&self) -> bool {
        Self::AT_WORK.contains(self)
    }
}
