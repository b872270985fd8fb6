//! [`Draft`]: a command of this crate's lists, said but not written yet.

use crate::command::Command;
use crate::protocol::command_spec::Known;
use crate::protocol::to_arg::ToArg;
use crate::protocol::to_args::ToArgs;
use crate::slot::Slot;

/// A name and what writes the arguments behind it.
///
/// A [`Command`] holds its arguments within itself, so each call that hands one on moves two hundred bytes: in a pipeline
/// that was a tenth of the time. A draft is as large as the arguments as they were given, and is written once, to where the
/// command stays.
pub(crate) struct Draft<W> {
    known: &'static Known,
    write: W,
}

/// A draft without arguments; see [`known`].
pub(crate) const fn draft(known: &'static Known) -> Draft<impl FnOnce(&mut Command)> {
    Draft { known, write: |_: &mut Command| () }
}

/// A [`Draft`] without arguments of a command in the table: `known!("OBJECT ENCODING")`. The name is looked up when this
/// crate is compiled, which spares a tenth of what building a `GET` takes.
macro_rules! known {
    ($name:literal) => {
        crate::command::draft::draft(const { &crate::protocol::command_spec::Known::find($name) })
    };
}

pub(crate) use known;

/// As the methods of [`Command`] of the same names.
impl<W: FnOnce(&mut Command)> Draft<W> {
    #[inline]
    fn then(self, write: impl FnOnce(&mut Command)) -> Draft<impl FnOnce(&mut Command)> {
        let Self { known, write: first } = self;
        Draft {
            known,
            write: move |command: &mut Command| {
                first(command);
                write(command);
            },
        }
    }

    #[inline]
    pub(crate) fn arg(self, arg: impl ToArg) -> Draft<impl FnOnce(&mut Command)> {
        self.then(move |command| command.push_arg(arg))
    }

    #[inline]
    pub(crate) fn args<A: ToArg>(
        self,
        args: impl IntoIterator<Item = A>,
    ) -> Draft<impl FnOnce(&mut Command)> {
        self.then(move |command| args.into_iter().for_each(|arg| command.push_arg(arg)))
    }

    #[inline]
    pub(crate) fn key(self, key: impl ToArg) -> Draft<impl FnOnce(&mut Command)> {
        self.then(move |command| command.push_key(key))
    }

    #[inline]
    pub(crate) fn keys<K: ToArg>(
        self,
        keys: impl IntoIterator<Item = K>,
    ) -> Draft<impl FnOnce(&mut Command)> {
        self.then(move |command| command.push_keys(keys))
    }

    #[inline]
    pub(crate) fn key_values<K: ToArg, V: ToArg>(
        self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Draft<impl FnOnce(&mut Command)> {
        self.then(move |command| command.push_key_values(pairs))
    }

    /// Triples of arguments, as `GEOADD` takes them.
    #[inline]
    pub(crate) fn triples<A: ToArg, B: ToArg, C: ToArg>(
        self,
        triples: impl IntoIterator<Item = (A, B, C)>,
    ) -> Draft<impl FnOnce(&mut Command)> {
        self.then(move |command| {
            triples.into_iter().for_each(|(a, b, c)| {
                command.push_arg(a);
                command.push_arg(b);
                command.push_arg(c);
            })
        })
    }

    /// How many arguments follow, and these.
    #[inline]
    pub(crate) fn counted_args(self, args: impl ToArgs) -> Draft<impl FnOnce(&mut Command)> {
        self.then(move |command| {
            let args: Vec<_> = args.into_args().collect();
            command.push_arg(args.len());
            args.into_iter().for_each(|arg| command.push_arg(arg));
        })
    }

    /// How many keys follow, and these.
    #[inline]
    pub(crate) fn counted_keys(self, keys: impl ToArgs) -> Draft<impl FnOnce(&mut Command)> {
        self.then(move |command| {
            let keys: Vec<_> = keys.into_args().collect();
            command.push_arg(keys.len());
            command.push_keys(keys);
        })
    }

    /// How many pairs of a key and its value follow, and these.
    #[inline]
    pub(crate) fn counted_key_values<K: ToArg, V: ToArg>(
        self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Draft<impl FnOnce(&mut Command)> {
        self.then(move |command| {
            let pairs: Vec<_> = pairs.into_iter().collect();
            command.push_arg(pairs.len());
            command.push_key_values(pairs);
        })
    }

    /// All keys and then all that belongs to each of them, as `XREAD` takes them.
    #[inline]
    pub(crate) fn keys_then_args<K: ToArg, A: ToArg>(
        self,
        pairs: impl IntoIterator<Item = (K, A)>,
    ) -> Draft<impl FnOnce(&mut Command)> {
        self.then(move |command| {
            let (keys, args): (Vec<K>, Vec<A>) = pairs.into_iter().unzip();
            command.push_keys(keys);
            args.into_iter().for_each(|arg| command.push_arg(arg));
        })
    }

    /// To the primary of `slot`, as if there were a key in it.
    #[inline]
    pub(crate) fn by_slot(self, slot: Slot) -> Draft<impl FnOnce(&mut Command)> {
        self.then(move |command| command.set_slot(slot))
    }

    /// Pairs of arguments, as `HSET` takes them.
    #[inline]
    pub(crate) fn pairs<A: ToArg, B: ToArg>(
        self,
        pairs: impl IntoIterator<Item = (A, B)>,
    ) -> Draft<impl FnOnce(&mut Command)> {
        self.then(move |command| {
            pairs.into_iter().for_each(|(first, second)| {
                command.push_arg(first);
                command.push_arg(second);
            })
        })
    }
}

/// What an entry of the lists comes to: a [`Draft`], or a command whose name is not in the table.
pub trait Said {
    /// The command as far as it is said at once, and what adds the rest where it stays.
    fn begin(self) -> (Command, impl FnOnce(&mut Command));
}

impl<W: FnOnce(&mut Command)> Said for Draft<W> {
    #[inline]
    fn begin(self) -> (Command, impl FnOnce(&mut Command)) {
        (Command::known(self.known), self.write)
    }
}

impl Said for Command {
    fn begin(self) -> (Command, impl FnOnce(&mut Command)) {
        (self, |_: &mut Command| ())
    }
}

/// Writes it behind the last of `commands`.
#[inline]
pub(crate) fn push_to(commands: &mut Vec<Command>, said: impl Said) {
    let (command, write) = said.begin();
    commands.push(command);
    let mut last = Last { commands, is_whole: false };
    if let Some(command) = last.commands.last_mut() {
        write(command);
    }
    last.is_whole = true;
}

/// Takes the last command back unless it is whole: [`ToArg`] is the user's code, and may panic.
struct Last<'a> {
    commands: &'a mut Vec<Command>,
    is_whole: bool,
}

impl Drop for Last<'_> {
    fn drop(&mut self) {
        if !self.is_whole {
            self.commands.pop();
        }
    }
}

impl<W: FnOnce(&mut Command)> From<Draft<W>> for Command {
    fn from(draft: Draft<W>) -> Self {
        whole(draft)
    }
}

/// The whole command.
#[inline]
pub(crate) fn whole(said: impl Said) -> Command {
    let (mut command, write) = said.begin();
    write(&mut command);
    command
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::{push_to, whole};
    use crate::command::Command;
    use crate::protocol::to_arg::{ArgWriter, ToArg, WrittenArg};

    struct Panics;

    impl ToArg for Panics {
        fn write_arg(self, _: ArgWriter<'_>) -> WrittenArg {
            panic!("so it does")
        }
    }

    fn words(command: &Command) -> Vec<&[u8]> {
        command.body().iter().collect()
    }

    #[test]
    fn a_draft_becomes_the_command_that_its_calls_say() {
        let drafted = whole(known!("MSET").key_values([("a", "1"), ("b", "2")]));
        let command = Command::new("MSET").key_values([("a", "1"), ("b", "2")]);
        assert_eq!((words(&drafted), drafted.marked_keys()), (words(&command), command.marked_keys()));
        let drafted = whole(known!("BITFIELD").key("k").args(["GET", "u8"]).arg(0));
        assert_eq!(words(&drafted), [&b"BITFIELD"[..], b"k", b"GET", b"u8", b"0"]);
        assert_eq!(drafted.name(), "BITFIELD");
    }

    #[test]
    fn an_argument_that_panics_leaves_no_command_behind() {
        let mut commands = Vec::new();
        push_to(&mut commands, known!("GET").key("a"));
        let failed = catch_unwind(AssertUnwindSafe(|| push_to(&mut commands, known!("GET").key(Panics))));
        assert!(failed.is_err());
        assert_eq!(commands.len(), 1);
        assert_eq!(words(&commands[0]), [&b"GET"[..], b"a"]);
    }
}
