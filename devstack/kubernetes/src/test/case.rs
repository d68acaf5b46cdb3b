//! One change of the deployment, and what is expected of the calls meanwhile.

/// A change of the deployment.
#[derive(Debug)]
pub(super) struct Case {
    /// Name in the table.
    pub name: &'static str,
    /// Commands, which end when the change is complete.
    pub commands: &'static str,
    /// What the load must show.
    pub load: Expected,
}

/// What is expected of the calls during a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// All succeed.
    Succeed,
    /// Some fail: a test of the load itself.
    Fail,
    /// There is no load, because the change takes a server or a pod away.
    None,
}

impl Case {
    /// A change during which every call succeeds.
    pub(super) const fn new(name: &'static str, commands: &'static str) -> Self {
        Self {
            name,
            commands,
            load: Expected::Succeed,
        }
    }

    /// A change without load.
    pub(super) const fn without_load(name: &'static str, commands: &'static str) -> Self {
        Self {
            name,
            commands,
            load: Expected::None,
        }
    }

    /// A change during which calls fail.
    pub(super) const fn failing(name: &'static str, commands: &'static str) -> Self {
        Self {
            name,
            commands,
            load: Expected::Fail,
        }
    }
}
