//! [`Spec`]: the facts of one command that the simulation knows, as a server's own table has them.

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, Call, DataCall};
use crate::testkit::sim::profile::Profile;

/// Which servers have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Since {
    Always,
    Redis70,
    /// Redis 8.2 and both Valkeys.
    Redis72,
    /// Redis 6.2 and 7.0 only: what newer servers have in another form.
    Before72,
    /// What Redis 8.4 alone has.
    Redis84,
    /// Both Valkeys.
    Valkey,
    /// Valkey only, from 9.1 on.
    Valkey91,
}

impl Since {
    pub(super) fn has(self, profile: Profile) -> bool {
        match self {
            Self::Always => true,
            Self::Redis70 => profile.since_7_0(),
            Self::Redis72 => profile.since_7_2(),
            Self::Before72 => !profile.since_7_2(),
            Self::Redis84 => profile == Profile::Redis84,
            Self::Valkey => profile.is_valkey(),
            Self::Valkey91 => profile == Profile::Valkey91,
        }
    }
}

/// Where the keys are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keys {
    None,
    /// First, last (negative from the end) and step.
    Range(usize, isize, usize),
    /// The argument at this place says how many follow.
    Counted(usize),
    /// The argument at this place says how many follow, each with a value behind it.
    CountedPairs(usize),
    /// The first argument, and what stands behind the last `STORE`.
    Sort,
    /// The first argument is one, and the argument behind it says how many follow.
    StoreCounted,
    /// The first half of what stands behind `STREAMS`.
    Streams,
    /// At its third place, or behind `KEYS`.
    Migrate,
}

impl Keys {
    /// One key, the first argument.
    pub(super) const FIRST: Self = Self::Range(1, 1, 1);
    /// Every argument.
    pub(super) const ALL: Self = Self::Range(1, -1, 1);

    /// How many keys the command says that it has, if it says it.
    pub(super) fn counts(self, args: &[Bytes]) -> Option<usize> {
        let (place, before) = match self {
            Self::Counted(place) => (place, 0),
            Self::StoreCounted => (2, 1),
            _ => return None,
        };
        Some(count_at(args, place).unwrap_or(usize::MAX).saturating_add(before))
    }

    pub(super) fn of(self, args: &[Bytes]) -> Vec<Bytes> {
        match self {
            Self::None => Vec::new(),
            Self::Range(first, last, step) => {
                let last =
                    usize::try_from(last).unwrap_or_else(|_| args.len().saturating_sub(last.unsigned_abs()));
                args.iter().take(last + 1).skip(first).step_by(step).cloned().collect()
            }
            Self::Counted(place) => counted(args, place, 1),
            Self::CountedPairs(place) => counted(args, place, 2),
            Self::Sort => {
                let store = args.iter().rposition(|arg| arg.eq_ignore_ascii_case(b"STORE"));
                let stored = store.filter(|at| *at > 1).and_then(|at| args.get(at + 1));
                args.get(1).into_iter().chain(stored).cloned().collect()
            }
            Self::StoreCounted => args.get(1).cloned().into_iter().chain(counted(args, 2, 1)).collect(),
            Self::Streams => {
                let Some(at) = args.iter().position(|arg| arg.eq_ignore_ascii_case(b"STREAMS")) else {
                    return Vec::new();
                };
                let behind = args.get(at + 1..).unwrap_or_default();
                behind.iter().take(behind.len() / 2).cloned().collect()
            }
            Self::Migrate => match args.iter().position(|arg| arg.eq_ignore_ascii_case(b"KEYS")) {
                Some(at) if args.get(3).is_some_and(Bytes::is_empty) => {
                    args.iter().skip(at + 1).cloned().collect()
                }
                Some(_) | None => args.get(3).cloned().into_iter().collect(),
            },
        }
    }
}

fn counted(args: &[Bytes], place: usize, step: usize) -> Vec<Bytes> {
    let behind = args.get(place + 1..).unwrap_or_default();
    // More than there are is an error of the command itself, and names no key.
    let count = count_at(args, place).filter(|count| count.saturating_mul(step) <= behind.len());
    behind.iter().step_by(step).take(count.unwrap_or_default()).cloned().collect()
}

fn count_at(args: &[Bytes], place: usize) -> Option<usize> {
    args.get(place).and_then(|arg| std::str::from_utf8(arg).ok()?.parse().ok())
}

/// How it is executed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Run {
    Data(fn(&mut DataCall<'_>) -> Answered),
    World(fn(&mut Call<'_>) -> Answered),
    /// By the dispatcher itself, which alone knows all commands.
    Dispatcher(Builtin),
}

/// What only the dispatcher can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Builtin {
    Exec,
    Command,
}

/// One command, or one subcommand as `cluster|slots`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    /// In lower case.
    pub(super) name: &'static str,
    /// How many arguments, the name included; negative is at least so many. A subcommand counts both its words.
    pub(super) arity: isize,
    /// As `COMMAND` lists them, with spaces between.
    pub(super) flags: &'static str,
    pub(super) keys: Keys,
    pub(super) since: Since,
    pub(super) run: Run,
}

impl Spec {
    pub(super) const fn data(
        name: &'static str,
        arity: isize,
        flags: &'static str,
        keys: Keys,
        run: fn(&mut DataCall<'_>) -> Answered,
    ) -> Self {
        Self { name, arity, flags, keys, since: Since::Always, run: Run::Data(run) }
    }

    pub(super) const fn world(
        name: &'static str,
        arity: isize,
        flags: &'static str,
        keys: Keys,
        run: fn(&mut Call<'_>) -> Answered,
    ) -> Self {
        Self { name, arity, flags, keys, since: Since::Always, run: Run::World(run) }
    }

    pub(super) const fn since(mut self, since: Since) -> Self {
        self.since = since;
        self
    }

    /// Whether others can notice that it was executed: it writes, or sends a message.
    pub(super) fn has_effect(&self) -> bool {
        self.is("write") || matches!(self.name, "publish" | "spublish")
    }

    pub(super) fn is(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|known| known == flag)
    }

    pub(super) fn takes(&self, args: usize) -> bool {
        if self.arity < 0 { args >= self.arity.unsigned_abs() } else { args == self.arity.unsigned_abs() }
    }
}
