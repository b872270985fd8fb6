//! When a key shall expire, as `SET`, `GETEX`, `SETEX` and their like are told it.

use bytes::Bytes;

use crate::testkit::sim::call::int;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;

/// How a time is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::testkit::sim) struct Unit {
    /// Seconds, not milliseconds.
    pub(in crate::testkit::sim) is_seconds: bool,
    /// From now on, not of Unix time.
    pub(in crate::testkit::sim) is_relative: bool,
}

impl Unit {
    pub(in crate::testkit::sim) const EX: Self = Self { is_seconds: true, is_relative: true };
    pub(in crate::testkit::sim) const PX: Self = Self { is_seconds: false, is_relative: true };
    pub(in crate::testkit::sim) const EXAT: Self = Self { is_seconds: true, is_relative: false };
    pub(in crate::testkit::sim) const PXAT: Self = Self { is_seconds: false, is_relative: false };

    /// The option of this name.
    pub(in crate::testkit::sim) fn named(name: &[u8]) -> Option<Self> {
        [("EX", Self::EX), ("PX", Self::PX), ("EXAT", Self::EXAT), ("PXAT", Self::PXAT)]
            .into_iter()
            .find_map(|(known, unit)| name.eq_ignore_ascii_case(known.as_bytes()).then_some(unit))
    }

    /// The moment in milliseconds of Unix time; it may lie in the past.
    pub(in crate::testkit::sim) fn moment(
        self,
        value: &Bytes,
        now: u64,
        profile: Profile,
        command: &str,
    ) -> Result<u64, Refused> {
        let value = u64::try_from(int(value)?).ok().filter(|value| *value > 0);
        let millis = value.and_then(|value| value.checked_mul(if self.is_seconds { 1000 } else { 1 }));
        millis
            .and_then(|millis| millis.checked_add(if self.is_relative { now } else { 0 }))
            .filter(|moment| i64::try_from(*moment).is_ok())
            .ok_or_else(|| invalid(profile, command))
    }
}

/// The error for a time that is none.
pub(in crate::testkit::sim) fn invalid(profile: Profile, command: &str) -> Refused {
    Refused::new(if profile.since_7_0() {
        format!("ERR invalid expire time in '{command}' command")
    } else {
        format!("ERR invalid expire time in {command}")
    })
}
