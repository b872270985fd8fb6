//! Options of sorted sets.

use crate::commands::options::keys::limit_words;
use crate::commands::options::render::{keywords, written};
use crate::protocol::word::{Word, Words};

keywords! {
    /// An end of a sorted set.
    pub enum ScoreEnd {
        /// The lowest score.
        Min = "MIN",
        /// The highest score.
        Max = "MAX",
    }

    /// The score of a member of several sorted sets.
    pub enum Aggregate {
        /// The sum of its scores; the server's default.
        Sum = "SUM",
        /// The lowest of them.
        Min = "MIN",
        /// The highest of them.
        Max = "MAX",
    }
}

/// Options of `zadd_options` and `zadd_incr`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct ZaddOptions {
    /// `NX` or `XX`.
    existing: Option<&'static str>,
    /// `GT` or `LT`.
    compare: Option<&'static str>,
    ch: bool,
}

impl ZaddOptions {
    /// As `zadd`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only new members; scores stay. Takes [`gt`](Self::gt) and [`lt`](Self::lt) back, which would have nothing to do.
    pub fn nx(mut self) -> Self {
        (self.existing, self.compare) = (Some("NX"), None);
        self
    }

    /// No new members.
    pub fn xx(mut self) -> Self {
        self.existing = Some("XX");
        self
    }

    /// A score only changes to a higher one. New members are added. Redis 6.2 and later.
    pub fn gt(self) -> Self {
        self.compare("GT")
    }

    /// A score only changes to a lower one. New members are added. Redis 6.2 and later.
    pub fn lt(self) -> Self {
        self.compare("LT")
    }

    fn compare(mut self, keyword: &'static str) -> Self {
        self.existing = self.existing.filter(|existing| *existing != "NX");
        self.compare = Some(keyword);
        self
    }

    /// The reply counts changed scores too.
    pub fn ch(mut self) -> Self {
        self.ch = true;
        self
    }
}

/// By what `zrange_options` and `zrangestore` take members.
///
/// ```
/// use keyslot::options::ZrangeOptions;
///
/// let the_ten_highest_from_100_down = ZrangeOptions::by_score().rev().limit(0, 10); // from "100" to "-inf"
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "options do nothing by themselves"]
pub struct ZrangeOptions {
    by: Option<&'static str>,
    rev: bool,
    limit: Option<(i64, i64)>,
}

impl ZrangeOptions {
    /// From rank to rank.
    pub fn by_rank() -> Self {
        Self { by: None, rev: false, limit: None }
    }

    /// From score to score: `1.5`, `"(1.5"` without itself, `"-inf"`, `"+inf"`.
    pub fn by_score() -> Self {
        Self { by: Some("BYSCORE"), ..Self::by_rank() }
    }

    /// From text to text, where all scores are the same: `"[a"`, `"(a"` without itself, `"-"`, `"+"`.
    pub fn by_lex() -> Self {
        Self { by: Some("BYLEX"), ..Self::by_rank() }
    }

    /// The highest first; then the start is the higher end.
    pub fn rev(mut self) -> Self {
        self.rev = true;
        self
    }

    /// Only `count` members (-1: all) from the place `offset` on. By rank, it is an error of the server.
    pub fn limit(mut self, offset: i64, count: i64) -> Self {
        self.limit = Some((offset, count));
        self
    }
}

/// How scores are put together by `zunionstore_options` and its like.
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct ZstoreOptions {
    weights: Vec<f64>,
    aggregate: Option<Aggregate>,
}

impl ZstoreOptions {
    /// The sum of the scores.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the scores of each key are multiplied by, one for each key in their order.
    pub fn weights(mut self, weights: impl IntoIterator<Item = f64>) -> Self {
        self.weights = weights.into_iter().collect();
        self
    }

    /// What becomes of the scores.
    pub fn aggregate(mut self, aggregate: Aggregate) -> Self {
        self.aggregate = Some(aggregate);
        self
    }
}

written! {
    ZaddOptions: |options| Words::new().word(options.existing).word(options.compare).flag(options.ch, "CH");
    ZrangeOptions: |options| Words::new()
        .word(options.by)
        .flag(options.rev, "REV")
        .then(limit_words(options.limit));
    ZstoreOptions: |options| Words::new()
        .flag(!options.weights.is_empty(), "WEIGHTS")
        .then(options.weights.into_iter().map(Word::from))
        .pair("AGGREGATE", options.aggregate);
}
