//! Options of lists.

use crate::commands::options::render::{keywords, written};
use crate::protocol::word::Words;

keywords! {
    /// An end of a list.
    pub enum Side {
        /// The first element.
        Left = "LEFT",
        /// The last element.
        Right = "RIGHT",
    }
}

/// Options of `lpos_options` and `lpos_count`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct LposOptions {
    rank: Option<i64>,
    maxlen: Option<u64>,
}

impl LposOptions {
    /// From the first element on, as far as the list goes.
    pub fn new() -> Self {
        Self::default()
    }

    /// From this match on: 2 is the second, -1 the last, and from there backwards. 0 is an error.
    pub fn rank(mut self, rank: i64) -> Self {
        self.rank = Some(rank);
        self
    }

    /// Compares so many elements at most; 0: all.
    pub fn maxlen(mut self, length: u64) -> Self {
        self.maxlen = Some(length);
        self
    }
}

written! {
    LposOptions: |options| Words::new().pair("RANK", options.rank).pair("MAXLEN", options.maxlen);
}
