use std::fmt;

/// Kind of data of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Mail.
    Message,
    /// Calendar.
    Calendar,
}

impl Kind {
    /// Both kinds, in the order in which their rows are locked.
    pub const ALL: [Self; 2] = [Self::Message, Self::Calendar];
}

/// State that people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncStatus {
    /// Not started.
    NotSynced,
    /// First sync runs or is queued.
    Ongoing,
    /// Synced; kept up to date.
    Active,
    /// The person granted less than the channel needs, or the grant died.
    FailedInsufficientPermissions,
    /// Failed for another reason.
    FailedUnknown,
}

impl SyncStatus {
    /// The name that people and the database know.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSynced => "NOT_SYNCED",
            Self::Ongoing => "ONGOING",
            Self::Active => "ACTIVE",
            Self::FailedInsufficientPermissions => "FAILED_INSUFFICIENT_PERMISSIONS",
            Self::FailedUnknown => "FAILED_UNKNOWN",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::NotSynced,
            Self::Ongoing,
            Self::Active,
            Self::FailedInsufficientPermissions,
            Self::FailedUnknown,
        ]
        .into_iter()
        .find(|status| status.as_str() == name)
    }
}

impl fmt::Display for SyncStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Step of the work, the same for both kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Waits for the person.
    PendingConfiguration,
    /// The list of what changed is to be fetched.
    ListFetchPending,
    /// A worker will fetch the list.
    ListFetchScheduled,
    /// A worker fetches the list.
    ListFetchOngoing,
    /// What the list names is to be imported.
    ImportPending,
    /// A worker will import.
    ImportScheduled,
    /// A worker imports.
    ImportOngoing,
    /// Nothing goes on until somebody acts.
    Failed,
}

impl Stage {
    /// Every stage.
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

    /// The name that people and the database know.
    pub const fn name(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::PendingConfiguration, _) => "PENDING_CONFIGURATION",
            (Self::Failed, _) => "FAILED",
            (Self::ListFetchPending, Kind::Message) => "MESSAGE_LIST_FETCH_PENDING",
            (Self::ListFetchScheduled, Kind::Message) => "MESSAGE_LIST_FETCH_SCHEDULED",
            (Self::ListFetchOngoing, Kind::Message) => "MESSAGE_LIST_FETCH_ONGOING",
            (Self::ImportPending, Kind::Message) => "MESSAGES_IMPORT_PENDING",
            (Self::ImportScheduled, Kind::Message) => "MESSAGES_IMPORT_SCHEDULED",
            (Self::ImportOngoing, Kind::Message) => "MESSAGES_IMPORT_ONGOING",
            (Self::ListFetchPending, Kind::Calendar) => "CALENDAR_EVENT_LIST_FETCH_PENDING",
            (Self::ListFetchScheduled, Kind::Calendar) => "CALENDAR_EVENT_LIST_FETCH_SCHEDULED",
            (Self::ListFetchOngoing, Kind::Calendar) => "CALENDAR_EVENT_LIST_FETCH_ONGOING",
            (Self::ImportPending, Kind::Calendar) => "CALENDAR_EVENTS_IMPORT_PENDING",
            (Self::ImportScheduled, Kind::Calendar) => "CALENDAR_EVENTS_IMPORT_SCHEDULED",
            (Self::ImportOngoing, Kind::Calendar) => "CALENDAR_EVENTS_IMPORT_ONGOING",
        }
    }

    /// Reads a name of this kind of channel.
    pub fn parse(kind: Kind, name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name(kind) == name)
    }
}
