//! Where the keys of one request are: the facts of its command, applied to its arguments.
//!
//! A part of [`command_spec`](super::command_spec), which re-exports these types and is the one to import from.

use std::error::Error;
use std::fmt;
use std::iter::FusedIterator;

use super::command_facts::{CommandSpec, Keys};

impl CommandSpec {
    /// The positions of all keys among `argc` arguments, the name included, of which `arg` gives each one.
    ///
    /// Too few arguments for a fixed position are no error: there is no key then, and the server says better than
    /// the client what is wrong with the command. `RoutedOnly` positions are among the result, because they decide
    /// the slot; who wants true keys looks at [`CommandSpec::keys`] first.
    ///
    /// # Errors
    ///
    /// If the arguments say themselves where the keys are, and what they say cannot be true.
    pub(crate) fn key_positions<'a>(
        &self,
        argc: usize,
        arg: impl Fn(usize) -> &'a [u8],
    ) -> Result<KeyPositions, BadKeys> {
        Ok(match self.keys {
            Keys::None => KeyPositions::none(),
            Keys::Range { first, last, step } => {
                let (first, step) = (usize::from(first), usize::from(step));
                let distance = usize::from(last.unsigned_abs());
                let end = if last < 0 { argc.saturating_sub(distance - 1) } else { argc.min(distance + 1) };
                KeyPositions::every(step, first, end.saturating_sub(first).div_ceil(step.max(1)))
            }
            Keys::Counted { destination, count, step } => {
                let (position, step) = (usize::from(count), usize::from(step));
                let left = self.announced(position, step, argc, &arg)?;
                KeyPositions::every(step, position + 1, left).preceded_by(destination.map(usize::from))
            }
            Keys::Streams => {
                let Some(streams) = stream_option(b"STREAMS", argc, &arg) else {
                    return Err(BadKeys::NoStreams { command: self.name });
                };
                let found = argc - streams - 1;
                if found == 0 || found % 2 == 1 {
                    return Err(BadKeys::OddStreams { command: self.name, found });
                }
                KeyPositions::every(1, streams + 1, found / 2)
            }
            Keys::StoreOption { from } => {
                let stored = last_store(usize::from(from), argc, &arg);
                let stored = stored.map_or(KeyPositions::none(), |at| KeyPositions::every(1, at, 1));
                stored.preceded_by((argc > 1).then_some(1))
            }
            Keys::Migrate => {
                let listed = (argc > 3 && arg(3).is_empty()).then(|| migrate_keys(argc, &arg)).flatten();
                match listed {
                    Some(keys) => KeyPositions::all_from(keys + 1, argc),
                    None => KeyPositions::all_from(3, argc.min(4)),
                }
            }
            Keys::Stralgo => {
                let mut names = (2..argc).filter(|&at| arg(at).eq_ignore_ascii_case(b"KEYS"));
                let first = names.next().map_or(argc, |at| at + 1);
                KeyPositions::all_from(first, argc.min(first + 2))
            }
            Keys::RoutedOnly(at) => KeyPositions::all_from(usize::from(at), argc.min(usize::from(at) + 1)),
        })
    }

    /// How many keys the argument at `position` announces, each of them and what goes with it being there.
    fn announced<'a>(
        &self,
        position: usize,
        step: usize,
        argc: usize,
        arg: &impl Fn(usize) -> &'a [u8],
    ) -> Result<usize, BadKeys> {
        let command = self.name;
        if position >= argc {
            return Err(BadKeys::NoCount { command, position });
        }
        let text = arg(position);
        let Some(announced) = number(text) else {
            return Err(BadKeys::NotACount { command, position, text: excerpt(text) });
        };
        let follow = argc - position - 1;
        match usize::try_from(announced).ok().and_then(|keys| keys.checked_mul(step)) {
            Some(needed) if needed <= follow => Ok(needed / step.max(1)),
            Some(_) | None => Err(BadKeys::TooFew { command, position, announced, follow }),
        }
    }
}

/// The position of an option of `XREAD` or `XREADGROUP` before `end`. The values of other options are passed over: a group
/// may have the name `STREAMS`.
pub(super) fn stream_option<'a>(
    wanted: &[u8],
    end: usize,
    arg: &impl Fn(usize) -> &'a [u8],
) -> Option<usize> {
    find_option(1, end, arg, wanted, |option| {
        if option.eq_ignore_ascii_case(b"GROUP") {
            2
        } else if option.eq_ignore_ascii_case(b"BLOCK") || option.eq_ignore_ascii_case(b"COUNT") {
            1
        } else {
            0
        }
    })
}

/// The position of `wanted` among the options from `from` to before `end`; `values` says how many arguments belong to an option.
fn find_option<'a>(
    from: usize,
    end: usize,
    arg: &impl Fn(usize) -> &'a [u8],
    wanted: &[u8],
    values: impl Fn(&[u8]) -> usize,
) -> Option<usize> {
    let mut at = from;
    while at < end {
        let option = arg(at);
        if option.eq_ignore_ascii_case(wanted) {
            return Some(at);
        }
        at += 1 + values(option);
    }
    None
}

/// Like the servers, the last one wins; a pattern of `BY` or `GET` may be the word itself.
fn last_store<'a>(from: usize, argc: usize, arg: &impl Fn(usize) -> &'a [u8]) -> Option<usize> {
    let mut stored = None;
    let mut at = from;
    while at < argc {
        let option = arg(at);
        let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
        if (is(b"STORE") || is(b"STOREDIST")) && at + 1 < argc {
            stored = Some(at + 1);
            at += 1;
        } else if is(b"BY") || is(b"GET") {
            at += 1;
        } else if is(b"LIMIT") {
            at += 2;
        }
        at += 1;
    }
    stored
}

/// The position of the word `KEYS`, which a password may be too.
fn migrate_keys<'a>(argc: usize, arg: &impl Fn(usize) -> &'a [u8]) -> Option<usize> {
    find_option(6, argc, arg, b"KEYS", |option| {
        if option.eq_ignore_ascii_case(b"AUTH") {
            1
        } else if option.eq_ignore_ascii_case(b"AUTH2") {
            2
        } else {
            0
        }
    })
}

/// A decimal number that is not negative.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// Enough to see a mistake by; an argument in the wrong place may be a megabyte long.
fn excerpt(text: &[u8]) -> String {
    const SHOWN: usize = 24;
    let mut shown = text.get(..SHOWN).unwrap_or(text).escape_ascii().to_string();
    if text.len() > SHOWN {
        shown.push_str("...");
    }
    shown
}

/// Positions of keys, in the order of the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyPositions {
    /// One in front that does not fit the step: a destination before the number of keys.
    before: Option<usize>,
    next: usize,
    left: usize,
    step: usize,
}

impl KeyPositions {
    fn none() -> Self {
        Self::every(1, 0, 0)
    }

    fn every(step: usize, first: usize, left: usize) -> Self {
        Self { before: None, next: first, left, step }
    }

    fn all_from(first: usize, end: usize) -> Self {
        Self::every(1, first, end.saturating_sub(first))
    }

    fn preceded_by(self, before: Option<usize>) -> Self {
        Self { before, ..self }
    }
}

impl Iterator for KeyPositions {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if let Some(before) = self.before.take() {
            return Some(before);
        }
        self.left = self.left.checked_sub(1)?;
        let position = self.next;
        self.next += self.step;
        Some(position)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left + usize::from(self.before.is_some());
        (left, Some(left))
    }
}

impl ExactSizeIterator for KeyPositions {}
impl FusedIterator for KeyPositions {}

/// Arguments that say where the keys are and are wrong about it. The server would refuse such a command, but which
/// server to ask cannot be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadKeys {
    /// The number of keys is missing.
    NoCount { command: &'static str, position: usize },
    /// What should be the number of keys is none.
    NotACount { command: &'static str, position: usize, text: String },
    /// There are fewer arguments than the number of keys asks for.
    TooFew { command: &'static str, position: usize, announced: u64, follow: usize },
    /// `XREAD` without its streams.
    NoStreams { command: &'static str },
    /// Not one id for each stream.
    OddStreams { command: &'static str, found: usize },
}

impl fmt::Display for BadKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCount { command, position } => {
                write!(f, "{command}: argument {position} should be the number of keys, and is missing")
            }
            Self::NotACount { command, position, text } => {
                write!(f, "{command}: argument {position} (\"{text}\") should be the number of keys")
            }
            Self::TooFew { command, position, announced, follow } => write!(
                f,
                "{command}: argument {position} announces {announced} keys, and only {follow} arguments follow"
            ),
            Self::NoStreams { command } => write!(f, "{command}: the word STREAMS is missing"),
            Self::OddStreams { command, found } => {
                write!(f, "{command}: {found} arguments follow STREAMS, it should be as many ids as streams")
            }
        }
    }
}

impl Error for BadKeys {}
