//! Options of streams.

use crate::commands::options::render::{keywords, written};
use crate::protocol::to_arg::ToArg;
use crate::protocol::to_args::ToArgs;
use crate::protocol::word::{Word, Words};

keywords! {
    /// What becomes of a consumer group's references to entries that are deleted. Redis 8.2 and later.
    pub enum References {
        /// They stay, and lead nowhere.
        Keep = "KEEPREF",
        /// They are deleted too, in all groups.
        Delete = "DELREF",
        /// Only entries that all groups have acknowledged are deleted.
        Acked = "ACKED",
    }
}

/// To what a stream is trimmed, by `xtrim` or [`XaddOptions::trim`].
///
/// ```
/// use keyslot::options::Xtrim;
///
/// let about_a_thousand = Xtrim::maxlen(1000).approximately();
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing by themselves"]
pub struct Xtrim {
    by: &'static str,
    threshold: Word,
    /// There if it may be done roughly; with a limit perhaps.
    approximately: Option<Option<u64>>,
    references: Option<References>,
}

impl Xtrim {
    /// To so many entries, the newest.
    pub fn maxlen(length: u64) -> Self {
        Self { by: "MAXLEN", threshold: length.into(), approximately: None, references: None }
    }

    /// To the entries from this id on. Redis 6.2 and later.
    pub fn minid(id: impl ToArg) -> Self {
        Self { by: "MINID", threshold: Word::of(id), approximately: None, references: None }
    }

    /// Not to the last entry, which is much cheaper: some tens more may stay.
    pub fn approximately(mut self) -> Self {
        self.approximately = Some(None);
        self
    }

    /// Approximately, and so many entries at a time at most (0: all). Redis 6.2 and later.
    pub fn limit(mut self, count: u64) -> Self {
        self.approximately = Some(Some(count));
        self
    }

    /// What becomes of references to the entries. Redis 8.2 and later.
    pub fn references(mut self, references: References) -> Self {
        self.references = Some(references);
        self
    }
}

/// Options of `xadd_options`.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct XaddOptions {
    nomkstream: bool,
    trim: Option<Xtrim>,
}

impl XaddOptions {
    /// As `xadd`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds nothing if there is no such stream. Redis 6.2 and later.
    pub fn nomkstream(mut self) -> Self {
        self.nomkstream = true;
        self
    }

    /// Trims the stream with it.
    pub fn trim(mut self, trim: Xtrim) -> Self {
        self.trim = Some(trim);
        self
    }
}

/// Options of `xread_options`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct XreadOptions {
    count: Option<u64>,
    block: Option<u64>,
}

impl XreadOptions {
    /// All entries that there are now.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many for each stream at most.
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Waits so many milliseconds for some (0: without end), on an exclusive connection.
    pub fn block(mut self, milliseconds: u64) -> Self {
        self.block = Some(milliseconds);
        self
    }
}

/// Options of `xreadgroup_options`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct XreadgroupOptions {
    read: XreadOptions,
    noack: bool,
}

impl XreadgroupOptions {
    /// All entries that there are now, to be acknowledged.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many for each stream at most.
    pub fn count(mut self, count: u64) -> Self {
        self.read.count = Some(count);
        self
    }

    /// Waits so many milliseconds for some (0: without end), on an exclusive connection.
    pub fn block(mut self, milliseconds: u64) -> Self {
        self.read.block = Some(milliseconds);
        self
    }

    /// They count as acknowledged: one that is lost on the way is lost.
    pub fn noack(mut self) -> Self {
        self.noack = true;
        self
    }
}

/// Options of `xgroup_create_options`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct XgroupCreateOptions {
    mkstream: bool,
    entriesread: Option<i64>,
}

impl XgroupCreateOptions {
    /// As `xgroup_create`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty stream if there is none; without it that is an error.
    pub fn mkstream(mut self) -> Self {
        self.mkstream = true;
        self
    }

    /// How many entries the group counts as read, from which its lag is told. Redis 7.0 and later.
    pub fn entriesread(mut self, entries: i64) -> Self {
        self.entriesread = Some(entries);
        self
    }
}

/// Options of `xpending_options`.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct XpendingOptions {
    idle: Option<u64>,
    consumer: Option<Word>,
}

impl XpendingOptions {
    /// Entries of all consumers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only entries that were not touched for so many milliseconds. Redis 6.2 and later.
    pub fn idle(mut self, milliseconds: u64) -> Self {
        self.idle = Some(milliseconds);
        self
    }

    /// Only entries of this consumer.
    pub fn consumer(mut self, consumer: impl ToArg) -> Self {
        self.consumer = Some(Word::of(consumer));
        self
    }

    /// What stands in front of the range, and what behind it.
    pub(crate) fn around(self) -> (Words, Words) {
        (Words::new().pair("IDLE", self.idle), Words::new().word(self.consumer))
    }
}

/// Options of `xclaim_options`.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct XclaimOptions {
    idle: Option<u64>,
    time: Option<u64>,
    retrycount: Option<u64>,
    force: bool,
    lastid: Option<Word>,
}

impl XclaimOptions {
    /// As `xclaim`.
    pub fn new() -> Self {
        Self::default()
    }

    /// As if they had been delivered so many milliseconds ago.
    pub fn idle(mut self, milliseconds: u64) -> Self {
        (self.idle, self.time) = (Some(milliseconds), None);
        self
    }

    /// As if they had been delivered at this Unix time in milliseconds.
    pub fn time(mut self, timestamp: u64) -> Self {
        (self.time, self.idle) = (Some(timestamp), None);
        self
    }

    /// As if they had been delivered so often.
    pub fn retrycount(mut self, count: u64) -> Self {
        self.retrycount = Some(count);
        self
    }

    /// Entries too that were delivered to nobody.
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// The group's last id becomes this one, if it is higher.
    pub fn lastid(mut self, id: impl ToArg) -> Self {
        self.lastid = Some(Word::of(id));
        self
    }
}

written! {
    Xtrim: |trim| Words::new()
        .words([trim.by.into()])
        .flag(trim.approximately.is_some(), "~")
        .words([trim.threshold])
        .pair("LIMIT", trim.approximately.flatten())
        .word(trim.references);
    XaddOptions: |options| Words::new()
        .flag(options.nomkstream, "NOMKSTREAM")
        .then(options.trim.into_iter().flat_map(ToArgs::into_args));
    XreadOptions: |options| Words::new().pair("COUNT", options.count).pair("BLOCK", options.block);
    XreadgroupOptions: |options| Words::new()
        .pair("COUNT", options.read.count)
        .pair("BLOCK", options.read.block)
        .flag(options.noack, "NOACK");
    XgroupCreateOptions: |options| Words::new()
        .flag(options.mkstream, "MKSTREAM")
        .pair("ENTRIESREAD", options.entriesread);
    XclaimOptions: |options| Words::new()
        .pair("IDLE", options.idle)
        .pair("TIME", options.time)
        .pair("RETRYCOUNT", options.retrycount)
        .flag(options.force, "FORCE")
        .pair("LASTID", options.lastid);
}
