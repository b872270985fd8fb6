//! Each typed command is the words that the servers know: one table a family.
//!
//! Every entry of the lists becomes a function of [`Typed`]; one that no table calls is a warning, so none is forgotten.

mod acl;
mod bitmaps;
mod clients;
mod cluster;
mod functions;
mod geo;
mod hashes;
mod hyperloglog;
mod json;
mod keys;
mod lists;
mod monitoring;
mod pubsub;
mod scripting;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;

use crate::command::Command;
use crate::command::draft::{known, whole};
use crate::commands::{all_commands, options};
use crate::protocol::to_arg::ToArg;
use crate::protocol::to_args::ToArgs;

/// The typed commands as functions that make the command and send nothing.
struct Typed;

macro_rules! making_functions {
    ($(
        $(#[$doc:meta])*
        fn $name:ident $(<$reply:ident>)? ($($arg:ident: $ty:ty),*) -> $out:ty = $command:expr;
    )*) => {$(
        fn $name($($arg: $ty),*) -> Command {
            whole($command)
        }
    )*};
}

impl Typed {
    all_commands!(making_functions);
}

/// Holds commands against their words; an argument with spaces stands in single quotes.
macro_rules! encodes {
    ($($command:expr => $words:literal;)*) => {$(
        assert_eq!(crate::commands::encoding::shown(&$command), $words);
    )*};
}

use encodes;

/// The words of a command with spaces between them.
fn shown(command: &Command) -> String {
    let words = command.body().iter().map(|word| {
        let text = String::from_utf8_lossy(word);
        if text.is_empty() || text.contains(' ') { format!("'{text}'") } else { text.into_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}
