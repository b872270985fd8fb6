//! Options of places.

use crate::commands::options::render::{keywords, written};
use crate::protocol::to_arg::ToArg;
use crate::protocol::word::{Word, Words};

keywords! {
    /// What distances are counted in.
    pub enum GeoUnit {
        /// Metres.
        M = "m",
        /// Kilometres.
        Km = "km",
        /// Miles.
        Mi = "mi",
        /// Feet.
        Ft = "ft",
    }
}

/// Options of `geoadd_options`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct GeoaddOptions {
    existing: Option<&'static str>,
    ch: bool,
}

impl GeoaddOptions {
    /// As `geoadd`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only new members; those that exist do not move.
    pub fn nx(mut self) -> Self {
        self.existing = Some("NX");
        self
    }

    /// No new members.
    pub fn xx(mut self) -> Self {
        self.existing = Some("XX");
        self
    }

    /// The reply counts members that moved too.
    pub fn ch(mut self) -> Self {
        self.ch = true;
        self
    }
}

/// The middle of an area.
///
/// ```
/// use keyslot::options::{GeoOrigin, GeoUnit};
///
/// let near_rome = GeoOrigin::member("Rome").radius(500.0, GeoUnit::Km);
/// let around_a_point = GeoOrigin::position(12.5, 41.9).rectangle(100.0, 50.0, GeoUnit::Km);
/// ```
#[derive(Clone, Debug)]
#[must_use = "an origin does nothing by itself"]
pub struct GeoOrigin(Words);

/// Where `geosearch` looks for members; made from a [`GeoOrigin`].
#[derive(Clone, Debug)]
#[must_use = "an area does nothing by itself"]
pub struct GeoArea(Words);

impl GeoOrigin {
    /// Where this member is.
    pub fn member(member: impl ToArg) -> Self {
        Self(Words::new().words(["FROMMEMBER".into(), Word::of(member)]))
    }

    /// This place, in degrees.
    pub fn position(longitude: f64, latitude: f64) -> Self {
        Self(Words::new().words(["FROMLONLAT".into(), longitude.into(), latitude.into()]))
    }

    /// Everything that is not further away.
    pub fn radius(self, radius: f64, unit: GeoUnit) -> GeoArea {
        GeoArea(self.0.words(["BYRADIUS".into(), radius.into(), unit.into()]))
    }

    /// Everything in a rectangle around it, its sides along the axes.
    pub fn rectangle(self, width: f64, height: f64, unit: GeoUnit) -> GeoArea {
        GeoArea(self.0.words(["BYBOX".into(), width.into(), height.into(), unit.into()]))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Order {
    order: Option<&'static str>,
    count: Option<u64>,
    any: bool,
}

/// Options of `geosearch_options`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct GeoSearchOptions {
    order: Order,
    coord: bool,
    dist: bool,
    hash: bool,
}

impl GeoSearchOptions {
    /// The members alone, in no order.
    pub fn new() -> Self {
        Self::default()
    }

    /// The nearest first.
    pub fn asc(mut self) -> Self {
        self.order.order = Some("ASC");
        self
    }

    /// The furthest first.
    pub fn desc(mut self) -> Self {
        self.order.order = Some("DESC");
        self
    }

    /// Only the nearest `count`, or with [`desc`](Self::desc) the furthest.
    pub fn count(mut self, count: u64) -> Self {
        (self.order.count, self.order.any) = (Some(count), false);
        self
    }

    /// Only `count`, whichever are found first.
    pub fn count_any(mut self, count: u64) -> Self {
        (self.order.count, self.order.any) = (Some(count), true);
        self
    }

    /// Each with its position.
    pub fn withcoord(mut self) -> Self {
        self.coord = true;
        self
    }

    /// Each with its distance from the origin, in the unit of the area.
    pub fn withdist(mut self) -> Self {
        self.dist = true;
        self
    }

    /// Each with its geohash as a number.
    pub fn withhash(mut self) -> Self {
        self.hash = true;
        self
    }
}

/// Options of `geosearchstore`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct GeoStoreOptions {
    order: Order,
    storedist: bool,
}

impl GeoStoreOptions {
    /// All members, with their geohashes as scores.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only the nearest `count`.
    pub fn count(mut self, count: u64) -> Self {
        (self.order.count, self.order.any) = (Some(count), false);
        self
    }

    /// Only `count`, whichever are found first.
    pub fn count_any(mut self, count: u64) -> Self {
        (self.order.count, self.order.any) = (Some(count), true);
        self
    }

    /// With their distances from the origin as scores.
    pub fn storedist(mut self) -> Self {
        self.storedist = true;
        self
    }
}

fn order_words(order: Order) -> Words {
    Words::new().word(order.order).pair("COUNT", order.count).flag(order.any, "ANY")
}

written! {
    GeoaddOptions: |options| Words::new().word(options.existing).flag(options.ch, "CH");
    GeoArea: |area| area.0;
    GeoSearchOptions: |options| order_words(options.order)
        .flag(options.coord, "WITHCOORD")
        .flag(options.dist, "WITHDIST")
        .flag(options.hash, "WITHHASH");
    GeoStoreOptions: |options| order_words(options.order).flag(options.storedist, "STOREDIST");
}
