/// Text of [`LastFailure::Silence`] in the database.
const SILENCE: &str = "no worker reported progress";

/// Why a channel failed last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastFailure {
    /// The sweep found that workers took the job and were not heard of again. A
    /// worker that is heard of after all proves it wrong.
    Silence,
    /// In the words of a worker or of the grant's end.
    Told(String),
}

impl LastFailure {
    /// For people and for the database.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Silence => SILENCE,
            Self::Told(text) => text,
        }
    }

    /// Reads what the database holds.
    pub fn stored(text: String) -> Self {
        if text == SILENCE {
            Self::Silence
        } else {
            Self::Told(text)
        }
    }
}
