//! The keys and values of every workload: made before the clock starts, the same in every run.

use bytes::Bytes;

use crate::adapter::{Key, Result, Value};
use crate::workload::{Shape, Workload};

/// Keys of one kind and, at the same place, the value that each one holds.
#[derive(Clone, Copy)]
pub(crate) struct Pool {
    pub(crate) keys: &'static [Key],
    pub(crate) values: &'static [Bytes],
    /// Keys that belong together: a hash tag's; 1 where there is none.
    pub(crate) group: usize,
}

/// Bytes of a value unless a workload says otherwise.
pub(crate) const VALUE: usize = 64;

const KEYS: usize = 10_000;
const TAGS: usize = 200;
/// Commands of a pipeline on one hash tag.
pub(crate) const TAG_GROUP: usize = 50;
const LARGE_KEYS: usize = 64;
const LARGE_VALUE: usize = 64 << 10;

impl Pool {
    /// What a workload needs; a bulk load for its warm-up.
    pub(crate) fn of(workload: &Workload) -> Self {
        match workload.shape {
            Shape::Tagged(_) => Self::tagged(),
            Shape::LargeSet | Shape::LargeGet => Self::large(),
            _ => Self::plain(),
        }
    }

    /// 10,000 keys over all slots.
    pub(crate) fn plain() -> Self {
        Self::new(1, VALUE, (0..KEYS).map(|number| format!("key:{number:08}")))
    }

    /// 200 hash tags of 50 keys each.
    pub(crate) fn tagged() -> Self {
        let names = 0..TAGS * TAG_GROUP;
        Self::new(
            TAG_GROUP,
            VALUE,
            names.map(|number| format!("{{tag:{:04}}}:{:02}", number / TAG_GROUP, number % TAG_GROUP)),
        )
    }

    /// Values of 64 KiB.
    pub(crate) fn large() -> Self {
        Self::new(1, LARGE_VALUE, (0..LARGE_KEYS).map(|number| format!("large:{number:04}")))
    }

    fn new(group: usize, value: usize, names: impl Iterator<Item = String>) -> Self {
        let keys: Vec<Key> = names.map(|name| &*name.leak()).collect();
        let values: Vec<Bytes> = keys.iter().map(|key| value_of(key, value)).collect();
        Self { keys: keys.leak(), values: values.leak(), group }
    }

    /// A place at random and what stands there.
    pub(crate) fn one(&self, random: &mut fastrand::Rng) -> Result<(Key, Value)> {
        let place = random.usize(..self.keys.len());
        match (self.keys.get(place), self.values.get(place)) {
            (Some(key), Some(value)) => Ok((key, value)),
            _ => Err("the pool is empty".into()),
        }
    }

    /// So many neighbours from a place at random, which are in all slots unless they have a tag.
    pub(crate) fn some(
        &self,
        many: usize,
        random: &mut fastrand::Rng,
    ) -> Result<(&'static [Key], &'static [Bytes])> {
        let start = random.usize(..=(self.keys.len().saturating_sub(many)) / self.group) * self.group;
        match (self.keys.get(start..start + many), self.values.get(start..start + many)) {
            (Some(keys), Some(values)) => Ok((keys, values)),
            _ => Err("the pool is smaller than a batch".into()),
        }
    }
}

/// So many keys that no earlier run had, in the form of a uuid without hyphens, and the value for all of them.
pub(crate) fn fresh(many: usize) -> (&'static [Key], Value) {
    let mut random = fastrand::Rng::new();
    let mut text = String::with_capacity(many * 32);
    for _ in 0..many {
        let uuid = uuid::Builder::from_random_bytes(random.u128(..).to_ne_bytes()).into_uuid();
        text.push_str(uuid.simple().encode_lower(&mut [0; 32]));
    }
    let text: &'static str = text.leak();
    let keys: Vec<Key> = (0..many).filter_map(|number| text.get(number * 32..number * 32 + 32)).collect();
    (keys.leak(), Box::leak(Box::new(value_of("bulk", VALUE))))
}

/// The value follows from the key, so that replies in the wrong order are seen.
fn value_of(key: &str, length: usize) -> Bytes {
    key.bytes().chain(*b"=").cycle().take(length).collect()
}
