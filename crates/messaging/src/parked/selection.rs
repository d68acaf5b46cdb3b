//! Which of the waiting messages a command is about.

use latchkey_domain::EventId;

use super::message::Parked;

/// Which messages of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Every message that is there now.
    All,
    /// The messages of one event.
    Event(EventId),
    /// The messages that were published with one of these routing keys.
    Keys(Vec<String>),
}

impl Filter {
    fn matches(&self, message: &Parked) -> bool {
        match self {
            Self::All => true,
            Self::Event(id) => message.event_id == Some(*id),
            Self::Keys(keys) => keys.contains(&message.routing_key),
        }
    }
}

/// Which messages of a queue, oldest first, and how many of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Which messages.
    pub filter: Filter,
    /// This many of them are skipped first.
    pub skip: usize,
    /// At most this many are selected; all if `None`.
    pub limit: Option<usize>,
}

impl From<Filter> for Selection {
    fn from(filter: Filter) -> Self {
        Self {
            filter,
            skip: 0,
            limit: None,
        }
    }
}

impl From<usize> for Selection {
    fn from(limit: usize) -> Self {
        Self {
            limit: Some(limit),
            ..Self::from(Filter::All)
        }
    }
}

/// The first message of an event.
impl From<EventId> for Selection {
    fn from(event: EventId) -> Self {
        Self {
            limit: Some(1),
            ..Self::from(Filter::Event(event))
        }
    }
}

impl Selection {
    /// The message with this number ([`Parked::number`]).
    pub fn number(number: usize) -> Self {
        Self {
            filter: Filter::All,
            skip: number.saturating_sub(1),
            limit: Some(1),
        }
    }

    /// Returns `true` if the message is selected, and counts it.
    pub(super) fn select(&mut self, message: &Parked) -> bool {
        if !self.filter.matches(message) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(left) = &mut self.limit {
            *left = left.saturating_sub(1);
        }
        true
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.limit == Some(0)
    }
}
