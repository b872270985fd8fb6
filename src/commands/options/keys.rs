//! Options of commands for keys of any type.

use crate::commands::options::render::written;
use crate::protocol::to_arg::ToArg;
use crate::protocol::word::{Word, Words};

/// Options of `restore_options`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct RestoreOptions {
    replace: bool,
    absttl: bool,
    idletime: Option<u64>,
    freq: Option<u64>,
}

impl RestoreOptions {
    /// As `restore`.
    pub fn new() -> Self {
        Self::default()
    }

    /// In the place of what the key is.
    pub fn replace(mut self) -> Self {
        self.replace = true;
        self
    }

    /// The time to live is a Unix time in milliseconds.
    pub fn absttl(mut self) -> Self {
        self.absttl = true;
        self
    }

    /// As if it had not been used for so many seconds.
    pub fn idletime(mut self, seconds: u64) -> Self {
        (self.idletime, self.freq) = (Some(seconds), None);
        self
    }

    /// As if it had been used so often (a logarithm, 0 to 255).
    pub fn freq(mut self, frequency: u8) -> Self {
        (self.freq, self.idletime) = (Some(frequency.into()), None);
        self
    }
}

/// Options of the `SORT` family.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct SortOptions {
    by: Option<Word>,
    limit: Option<(i64, i64)>,
    get: Vec<Word>,
    descending: bool,
    alpha: bool,
}

impl SortOptions {
    /// Numbers, the smallest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// In the order of the values of other keys, or of none (`"nosort"`).
    pub fn by(mut self, pattern: impl ToArg) -> Self {
        self.by = Some(Word::of(pattern));
        self
    }

    /// Only `count` elements from the place `offset` on.
    pub fn limit(mut self, offset: i64, count: i64) -> Self {
        self.limit = Some((offset, count));
        self
    }

    /// The values of other keys in place of the elements; `"#"` is the element itself. May be said several times.
    pub fn get(mut self, pattern: impl ToArg) -> Self {
        self.get.push(Word::of(pattern));
        self
    }

    /// The largest first.
    pub fn desc(mut self) -> Self {
        self.descending = true;
        self
    }

    /// As texts.
    pub fn alpha(mut self) -> Self {
        self.alpha = true;
        self
    }
}

/// Options of `hscan`, `sscan` and `zscan`.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct ScanOptions {
    matching: Option<Word>,
    count: Option<u64>,
}

impl ScanOptions {
    /// All elements.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those that match a glob-style pattern. Pages may be empty.
    pub fn matching(mut self, pattern: impl ToArg) -> Self {
        self.matching = Some(Word::of(pattern));
        self
    }

    /// About so many are looked at for each page; 10 without it.
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }
}

/// `LIMIT offset count`.
pub(super) fn limit_words(limit: Option<(i64, i64)>) -> Words {
    match limit {
        Some((offset, count)) => Words::new().words(["LIMIT".into(), offset.into(), count.into()]),
        None => Words::new(),
    }
}

written! {
    RestoreOptions: |options| Words::new()
        .flag(options.replace, "REPLACE")
        .flag(options.absttl, "ABSTTL")
        .pair("IDLETIME", options.idletime)
        .pair("FREQ", options.freq);
    SortOptions: |options| Words::new()
        .pair("BY", options.by)
        .then(limit_words(options.limit))
        .each("GET", options.get)
        .flag(options.descending, "DESC")
        .flag(options.alpha, "ALPHA");
    ScanOptions: |options| Words::new().pair("MATCH", options.matching).pair("COUNT", options.count);
}
