//! [`Entry`]: one key's value with its expiry.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::testkit::sim::keyspace::sorted_set::SortedSet;
use crate::testkit::sim::keyspace::stream::Stream;

pub(in crate::testkit::sim) type List = VecDeque<Bytes>;
/// Ordered by field, so that the same run gives the same replies; a real server gives no order.
pub(in crate::testkit::sim) type Hash = BTreeMap<Bytes, Bytes>;
pub(in crate::testkit::sim) type Set = BTreeSet<Bytes>;

/// A string value; a type of its own so that each kind of value is one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::testkit::sim) struct Text(pub(in crate::testkit::sim) Bytes);

/// A value of any type.
#[derive(Clone, Debug)]
pub(in crate::testkit::sim) enum Stored {
    Text(Text),
    List(List),
    Hash(Hash),
    Set(Set),
    SortedSet(SortedSet),
    Stream(Stream),
}

impl Stored {
    /// As `TYPE` says it.
    pub(in crate::testkit::sim) fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Hash(_) => "hash",
            Self::Set(_) => "set",
            Self::SortedSet(_) => "zset",
            Self::Stream(_) => "stream",
        }
    }

    /// A key with such a value does not exist. An empty string and an empty stream do.
    pub(in crate::testkit::sim) fn is_gone(&self) -> bool {
        match self {
            Self::Text(_) | Self::Stream(_) => false,
            Self::List(list) => list.is_empty(),
            Self::Hash(hash) => hash.is_empty(),
            Self::Set(set) => set.is_empty(),
            Self::SortedSet(set) => set.is_empty(),
        }
    }
}

/// A value with its expiry. A clone shares the value until one of the two is changed: replicas hold clones.
#[derive(Clone, Debug)]
pub(in crate::testkit::sim) struct Entry {
    pub(in crate::testkit::sim) value: Arc<Stored>,
    /// Milliseconds of Unix time.
    pub(in crate::testkit::sim) expires_at: Option<u64>,
}

impl Entry {
    /// Whether neither was changed since one was cloned from the other.
    pub(in crate::testkit::sim) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value) && self.expires_at == other.expires_at
    }
}

/// A type of value that commands work on.
pub(in crate::testkit::sim) trait Kind: Default {
    fn of(stored: &Stored) -> Option<&Self>;
    fn of_mut(stored: &mut Stored) -> Option<&mut Self>;
    fn into_stored(self) -> Stored;
}

macro_rules! kinds {
    ($($kind:ident)*) => {
        $(
            impl Kind for $kind {
                fn of(stored: &Stored) -> Option<&Self> {
                    if let Stored::$kind(value) = stored { Some(value) } else { None }
                }

                fn of_mut(stored: &mut Stored) -> Option<&mut Self> {
                    if let Stored::$kind(value) = stored { Some(value) } else { None }
                }

                fn into_stored(self) -> Stored {
                    Stored::$kind(self)
                }
            }
        )*
    };
}

kinds! { Text List Hash Set SortedSet Stream }
