//! Options of scripts and functions, and how things are flushed.

use crate::commands::options::render::{keywords, written};
use crate::protocol::to_arg::ToArg;
use crate::protocol::word::{Word, Words};

keywords! {
    /// How memory is freed.
    pub enum FlushMode {
        /// Before the reply.
        Sync = "SYNC",
        /// In the background.
        Async = "ASYNC",
    }

    /// What becomes of the libraries that a server has when others are restored.
    pub enum RestorePolicy {
        /// They stay; one of the same name is an error.
        Append = "APPEND",
        /// They go.
        Flush = "FLUSH",
        /// Those of the same name are replaced.
        Replace = "REPLACE",
    }
}

/// Options of `function_list_options`.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct FunctionListOptions {
    libraryname: Option<Word>,
    withcode: bool,
}

impl FunctionListOptions {
    /// All libraries, without their code.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only libraries whose name matches a glob-style pattern.
    pub fn libraryname(mut self, pattern: impl ToArg) -> Self {
        self.libraryname = Some(Word::of(pattern));
        self
    }

    /// With their code.
    pub fn withcode(mut self) -> Self {
        self.withcode = true;
        self
    }
}

written! {
    FunctionListOptions: |options| Words::new()
        .pair("LIBRARYNAME", options.libraryname)
        .flag(options.withcode, "WITHCODE");
}
