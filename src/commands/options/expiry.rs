//! Times to live, and the options of commands that set values together with one.

use std::time::Duration;

use crate::commands::options::render::{keywords, written};
use crate::protocol::word::{Word, Words};

/// How long a value lives. Where a method takes one, a [`Duration`] stands for [`Px`](Self::Px), rounded up to milliseconds.
///
/// The server refuses a time of zero, and one that is too long for its clock.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use std::time::Duration;
///
/// use keyslot::Commands;
/// use keyslot::options::{Expiry, SetOptions};
///
/// let () = client.set_options("session:1", "Ann", SetOptions::new().expiry(Duration::from_secs(60))).await?;
/// let name: String = client.getex("session:1", Expiry::Ex(3600)).await?; // read, and an hour from now
/// assert_eq!((name.as_str(), client.ttl("session:1").await?), ("Ann", 3600));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// So many seconds.
    Ex(u64),
    /// So many milliseconds.
    Px(u64),
    /// Until this Unix time in seconds.
    ExAt(u64),
    /// Until this Unix time in milliseconds.
    PxAt(u64),
}

impl From<Duration> for Expiry {
    fn from(time: Duration) -> Self {
        Self::Px(u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }
}

keywords! {
    /// When a time to live is set.
    pub enum ExpireCondition {
        /// Only if there is none.
        Nx = "NX",
        /// Only if there is one.
        Xx = "XX",
        /// Only if it is longer than the one that there is; none counts as endless.
        Gt = "GT",
        /// Only if it is shorter than the one that there is; none counts as endless.
        Lt = "LT",
    }
}

/// Options of `msetex`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct MsetexOptions(Common);

/// Options of `hsetex`.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "options do nothing by themselves"]
pub struct HsetexOptions(Common);

#[derive(Clone, Copy, Debug, Default)]
struct Common {
    /// Whether what is set must exist already.
    must_exist: Option<bool>,
    expiry: Option<Expiry>,
    keepttl: bool,
}

impl MsetexOptions {
    /// Sets them always, without a time to live.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if none of the keys exists.
    pub fn nx(mut self) -> Self {
        self.0.must_exist = Some(false);
        self
    }

    /// Only if all of the keys exist.
    pub fn xx(mut self) -> Self {
        self.0.must_exist = Some(true);
        self
    }

    /// For as long as `expiry` says.
    pub fn expiry(mut self, expiry: impl Into<Expiry>) -> Self {
        (self.0.expiry, self.0.keepttl) = (Some(expiry.into()), false);
        self
    }

    /// With the times to live that the keys have.
    pub fn keepttl(mut self) -> Self {
        (self.0.expiry, self.0.keepttl) = (None, true);
        self
    }
}

impl HsetexOptions {
    /// Sets them always, without a time to live.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if none of the fields exists.
    pub fn fnx(mut self) -> Self {
        self.0.must_exist = Some(false);
        self
    }

    /// Only if all of the fields exist.
    pub fn fxx(mut self) -> Self {
        self.0.must_exist = Some(true);
        self
    }

    /// For as long as `expiry` says.
    pub fn expiry(mut self, expiry: impl Into<Expiry>) -> Self {
        (self.0.expiry, self.0.keepttl) = (Some(expiry.into()), false);
        self
    }

    /// With the times to live that the fields have.
    pub fn keepttl(mut self) -> Self {
        (self.0.expiry, self.0.keepttl) = (None, true);
        self
    }
}

/// The words of a time to live, if there is one.
pub(super) fn expiry_words(expiry: Option<Expiry>) -> Words {
    let words = match expiry {
        None => return Words::new(),
        Some(Expiry::Ex(seconds)) => [Word::from("EX"), seconds.into()],
        Some(Expiry::Px(milliseconds)) => [Word::from("PX"), milliseconds.into()],
        Some(Expiry::ExAt(timestamp)) => [Word::from("EXAT"), timestamp.into()],
        Some(Expiry::PxAt(timestamp)) => [Word::from("PXAT"), timestamp.into()],
    };
    Words::new().words(words)
}

fn common(options: Common, [absent, present]: [&'static str; 2]) -> Words {
    Words::new()
        .word(options.must_exist.map(|must| if must { present } else { absent }))
        .then(expiry_words(options.expiry))
        .flag(options.keepttl, "KEEPTTL")
}

written! {
    Expiry: |expiry| expiry_words(Some(expiry));
    MsetexOptions: |options| common(options.0, ["NX", "XX"]);
    HsetexOptions: |options| common(options.0, ["FNX", "FXX"]);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Expiry;

    #[test]
    fn a_duration_is_never_rounded_down_to_nothing() {
        for (time, milliseconds) in [
            (Duration::from_secs(60), 60_000),
            (Duration::from_nanos(1), 1),
            (Duration::from_micros(1500), 2),
            (Duration::ZERO, 0),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(Expiry::from(time), Expiry::Px(milliseconds));
        }
    }
}
