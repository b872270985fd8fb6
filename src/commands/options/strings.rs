//! Options of strings.

use crate::commands::options::expiry::{Expiry, expiry_words};
use crate::commands::options::render::written;
use crate::protocol::to_arg::ToArg;
use crate::protocol::word::{Word, Words};

/// Options of `set_options`.
///
/// ```
/// use keyslot::options::SetOptions;
///
/// let for_a_minute_unless_there_is_one = SetOptions::new().ex(60).nx();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct SetOptions {
    condition: Condition,
    get: bool,
    expiry: Option<Expiry>,
    keepttl: bool,
}

#[derive(Clone, Debug, Default)]
enum Condition {
    #[default]
    Always,
    Nx,
    Xx,
    IfEq(Word),
}

impl SetOptions {
    /// Sets it always, without a time to live.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if the key does not exist.
    pub fn nx(mut self) -> Self {
        self.condition = Condition::Nx;
        self
    }

    /// Only if the key exists.
    pub fn xx(mut self) -> Self {
        self.condition = Condition::Xx;
        self
    }

    /// Only if the key holds this value. Valkey 8.1 and later, Redis 8.4 and later.
    pub fn ifeq(mut self, value: impl ToArg) -> Self {
        self.condition = Condition::IfEq(Word::of(value));
        self
    }

    /// The reply is what the key held. Redis 6.2 and later; together with [`nx`](Self::nx) Redis 7.0 and later.
    pub fn get(mut self) -> Self {
        self.get = true;
        self
    }

    /// For so many seconds.
    pub fn ex(self, seconds: u64) -> Self {
        self.expiry(Expiry::Ex(seconds))
    }

    /// For so many milliseconds.
    pub fn px(self, milliseconds: u64) -> Self {
        self.expiry(Expiry::Px(milliseconds))
    }

    /// Until this Unix time in seconds. Redis 6.2 and later.
    pub fn exat(self, timestamp: u64) -> Self {
        self.expiry(Expiry::ExAt(timestamp))
    }

    /// Until this Unix time in milliseconds. Redis 6.2 and later.
    pub fn pxat(self, timestamp: u64) -> Self {
        self.expiry(Expiry::PxAt(timestamp))
    }

    /// For as long as `expiry` says: an [`Expiry`], or a `Duration` from now on.
    pub fn expiry(mut self, expiry: impl Into<Expiry>) -> Self {
        (self.expiry, self.keepttl) = (Some(expiry.into()), false);
        self
    }

    /// With the time to live that the key has.
    pub fn keepttl(mut self) -> Self {
        (self.expiry, self.keepttl) = (None, true);
        self
    }
}

/// Options of `lcs_idx`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct LcsOptions {
    minmatchlen: Option<u64>,
    withmatchlen: bool,
}

impl LcsOptions {
    /// All matches, without their lengths.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only matches of this length and more.
    pub fn minmatchlen(mut self, length: u64) -> Self {
        self.minmatchlen = Some(length);
        self
    }

    /// Each match with its length.
    pub fn withmatchlen(mut self) -> Self {
        self.withmatchlen = true;
        self
    }
}

written! {
    SetOptions: |options| match options.condition {
        Condition::Always => Words::new(),
        Condition::Nx => Words::new().words(["NX".into()]),
        Condition::Xx => Words::new().words(["XX".into()]),
        Condition::IfEq(value) => Words::new().words(["IFEQ".into(), value]),
    }
    .flag(options.get, "GET")
    .then(expiry_words(options.expiry))
    .flag(options.keepttl, "KEEPTTL");
    LcsOptions: |options| Words::new()
        .pair("MINMATCHLEN", options.minmatchlen)
        .flag(options.withmatchlen, "WITHMATCHLEN");
}
