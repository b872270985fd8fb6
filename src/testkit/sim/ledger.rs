//! [`Ledger`]: what took effect on the nodes, for tests that must know exactly.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::node::NodeAddr;

/// One command that a node has executed, of those that read or write keys or publish a message; the others are counted
/// by [`SimCluster::received`](super::SimCluster::received).
///
/// Commands that were refused are not in the ledger: redirects, wrong arguments, a wrong type, an aborted
/// transaction. The commands of a transaction are there one by one, from the moment of `EXEC`; a blocking command from
/// the moment when it got its element.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Effect {
    /// Since the cluster was started.
    pub at: Duration,
    /// Who executed it.
    pub node: NodeAddr,
    /// On which connection it came; the numbers are unique in the cluster.
    pub connection: u64,
    /// Name and arguments, as they were sent.
    pub command: Vec<Bytes>,
    /// Whether it changed data. `SET` of the same value did; `DEL` of a missing key did not.
    pub changed: bool,
}

impl Effect {
    /// Name and arguments as text, with one space between.
    #[must_use]
    pub fn line(&self) -> String {
        let words: Vec<_> = self.command.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
        words.join(" ")
    }

    /// Whether [`Effect::line`] is this one, without making it: tests ask this of thousands of effects.
    fn is(&self, line: &str) -> bool {
        let mut rest = line.as_bytes();
        for (place, arg) in self.command.iter().enumerate() {
            let behind_space = if place == 0 { Some(rest) } else { rest.strip_prefix(b" ") };
            match behind_space.and_then(|rest| rest.strip_prefix(arg.as_ref())) {
                Some(behind) => rest = behind,
                // What is no text is replaced in the line.
                None => return std::str::from_utf8(arg).is_err() && self.line() == line,
            }
        }
        rest.is_empty()
    }
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} #{}: {}", self.at, self.node, self.connection, self.line())
    }
}

/// The effects in the order in which they took place, over all nodes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    effects: Vec<Effect>,
}

impl Ledger {
    pub(super) fn note(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// All of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Effect> {
        self.effects.iter()
    }

    /// Those of exactly this command with its arguments, written with single spaces: `"INCR visits"`.
    pub fn of<'a>(&'a self, line: &'a str) -> impl DoubleEndedIterator<Item = &'a Effect> {
        self.effects.iter().filter(move |effect| effect.is(line))
    }

    /// Those that name `key` as one of their arguments.
    pub fn with_key<'a>(&'a self, key: &'a str) -> impl DoubleEndedIterator<Item = &'a Effect> {
        self.effects
            .iter()
            .filter(move |effect| effect.command.iter().skip(1).any(|arg| arg.as_ref() == key.as_bytes()))
    }

    /// How often exactly this command with its arguments took effect.
    #[must_use]
    pub fn count(&self, line: &str) -> usize {
        self.of(line).count()
    }

    /// Whether these commands took effect in this order, others between them or not.
    #[must_use]
    pub fn in_order(&self, lines: &[&str]) -> bool {
        let mut wanted = lines.iter().peekable();
        for effect in &self.effects {
            wanted.next_if(|line| effect.is(line));
        }
        wanted.peek().is_none()
    }
}

impl fmt::Display for Ledger {
    /// One line for each effect.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.effects.iter().try_for_each(|effect| writeln!(f, "{effect:?}"))
    }
}
