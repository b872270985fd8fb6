//! What clients called, when, and what they were told: the data that [`crate::checker`] judges.

use std::collections::BTreeMap;
use std::fmt;

/// What a key holds. Each cell has one of each, all in one slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Kind {
    /// A value that one task alone writes.
    Register,
    /// Incremented by all.
    Counter,
    /// Appended to by all.
    List,
    /// Appended to by transactions that append to the list too.
    Twin,
}

/// A key of one round of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Key {
    pub(crate) round: u32,
    pub(crate) cell: u32,
    pub(crate) kind: Kind,
}

impl Key {
    /// Where a counter begins: far from all others, so that a reply which belongs to another key shows.
    pub(crate) fn base(self) -> i64 {
        (i64::from(self.cell) + 1) * 1_000_000_000
    }

    /// A value or an element of this key.
    pub(crate) fn text(self, tag: u64) -> String {
        format!("{self}={tag}")
    }

    /// The tag in a text, if it belongs to this key.
    pub(crate) fn tag(self, text: &str) -> Option<u64> {
        text.strip_prefix(&self.to_string())?.strip_prefix('=')?.parse().ok()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Register => "register",
            Kind::Counter => "counter",
            Kind::List => "list",
            Kind::Twin => "twin",
        };
        write!(f, "{{{}.{}}}:{kind}", self.round, self.cell)
    }
}

/// What was asked. A tag is never used twice; 0 is the value that a register begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Set(u64),
    /// Of the writer itself, at the primary: sees what was acknowledged before.
    Get,
    /// Of another task, or from a replica: may be old.
    GetAny,
    Incr,
    Push(u64),
}

/// What the caller was told.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Fate {
    Done {
        reply: Reply,
        /// A replica has it too, as `WAIT` said.
        durable: bool,
    },
    /// An error with this outcome, or the caller has given up.
    Maybe(String),
    NotSent(String),
    Rejected(String),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reply {
    Ok,
    Number(i64),
    Text(Option<String>),
    /// Something that this command is never answered with.
    Strange(String),
}

/// The pipeline or transaction that a call was part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Group {
    pub(crate) number: u64,
    pub(crate) place: usize,
    pub(crate) is_transaction: bool,
}

/// One command.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Call {
    pub(crate) task: u32,
    /// Microseconds since the run began; those of its pipeline if it was in one.
    pub(crate) begin: u64,
    pub(crate) end: u64,
    /// Its deadline, in microseconds from the begin.
    pub(crate) limit: u64,
    pub(crate) key: Key,
    pub(crate) action: Action,
    pub(crate) fate: Fate,
    pub(crate) group: Option<Group>,
    /// The client followed no redirect and tried nothing again meanwhile, for any caller.
    pub(crate) undisturbed: bool,
}

impl Call {
    /// Whether a server may have executed it.
    pub(crate) fn may_have_run(&self) -> bool {
        match self.fate {
            Fate::Done { .. } | Fate::Maybe(_) => true,
            Fate::NotSent(_) | Fate::Rejected(_) => false,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.fate, Fate::Done { .. })
    }

    pub(crate) fn is_durable(&self) -> bool {
        matches!(self.fate, Fate::Done { durable: true, .. })
    }

    /// When it was surely executed; never for one whose outcome is unknown.
    pub(crate) fn known_end(&self) -> u64 {
        if self.is_done() { self.end } else { u64::MAX }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, begin, end, key, action, fate, group, undisturbed, .. } = self;
        write!(f, "{:>10.3}..{:<10.3} ms task {task} ", *begin as f64 / 1e3, *end as f64 / 1e3)?;
        match action {
            Action::Set(tag) => write!(f, "SET {key} {tag}")?,
            Action::Get => write!(f, "GET {key}")?,
            Action::GetAny => write!(f, "GET {key} (may be old)")?,
            Action::Incr => write!(f, "INCR {key}")?,
            Action::Push(tag) => write!(f, "RPUSH {key} {tag}")?,
        }
        if let Some(Group { number, place, is_transaction }) = group {
            write!(f, " [{} {number}, {place}]", if *is_transaction { "transaction" } else { "pipeline" })?;
        }
        match fate {
            Fate::Done { reply, durable } => {
                write!(f, " -> {reply:?}{}", if *durable { ", on a replica" } else { "" })?
            }
            Fate::Maybe(text) => write!(f, " -> maybe: {text}")?,
            Fate::NotSent(text) => write!(f, " -> not sent: {text}")?,
            Fate::Rejected(text) => write!(f, " -> rejected: {text}")?,
        }
        if *undisturbed { Ok(()) } else { f.write_str(" (with redirects or retries about)") }
    }
}

/// What the servers have at the end, read past the client.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Last {
    pub(crate) registers: BTreeMap<Key, Option<String>>,
    pub(crate) counters: BTreeMap<Key, i64>,
    pub(crate) lists: BTreeMap<Key, Vec<String>>,
}
