//! [`Version`]: the servers, by the names that transcripts use.

use keyslot::testkit::sim::Profile;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Version(pub(crate) Profile);

impl Version {
    pub(crate) const ALL: [Self; 5] = [
        Self(Profile::Redis62),
        Self(Profile::Redis70),
        Self(Profile::Redis82),
        Self(Profile::Valkey81),
        Self(Profile::Valkey91),
    ];

    /// `6.2`, `7.0`, `8.2`, `v8.1`, `v9.1`; `redis` and `valkey` for all of them.
    pub(crate) fn list(names: &str) -> Vec<Self> {
        names
            .split(' ')
            .flat_map(|name| {
                let some: Vec<Self> =
                    Self::ALL.into_iter().filter(|version| version.is_called(name)).collect();
                assert!(!some.is_empty(), "there is no server {name:?}");
                some
            })
            .collect()
    }

    /// `7.0` is everything but Redis 6.2; `7.2` is everything later than Redis 7.0.
    pub(crate) fn since(name: &str) -> Vec<Self> {
        let first = match name {
            "7.0" => 1,
            "7.2" => 2,
            other => panic!("since {other:?}?"),
        };
        Self::ALL[first..].to_vec()
    }

    fn is_called(self, name: &str) -> bool {
        let is_valkey = matches!(self.0, Profile::Valkey81 | Profile::Valkey91);
        match name {
            "redis" => !is_valkey,
            "valkey" => is_valkey,
            _ => name == self.name(),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Profile::Redis62 => "6.2",
            Profile::Redis70 => "7.0",
            Profile::Redis82 => "8.2",
            Profile::Valkey81 => "v8.1",
            Profile::Valkey91 => "v9.1",
            other => panic!("{other} has no name here"),
        }
    }
}
