//! Each entry of the lists as a function that says its command: the bodies, of which every handle has only a call.
//!
//! Six handles would otherwise each have every body checked by the compiler anew, which was a large part of what this crate
//! takes to build.

#[cfg(feature = "json")]
use crate::command::Command;
use crate::command::draft::{Said, known};
use crate::commands::{all_commands, options};
use crate::protocol::to_arg::ToArg;
use crate::protocol::to_args::ToArgs;

macro_rules! saying_functions {
    ($(
        $(#[$doc:meta])*
        fn $name:ident $(<$reply:ident>)? ($($arg:ident: $ty:ty),*) -> $out:ty = $command:expr;
    )*) => {$(
        #[inline]
        pub(crate) fn $name($($arg: $ty),*) -> impl Said {
            $command
        }
    )*};
}

all_commands!(saying_functions);
