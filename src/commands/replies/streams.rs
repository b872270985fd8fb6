//! Replies about streams.

use bytes::Bytes;

use crate::commands::replies::facts::Facts;
use crate::protocol::from_value::{ConversionError, FromValue};
use crate::protocol::value::Value;

/// An entry of a stream. Its fields are read as `F`: `HashMap<String, String>`, `Vec<(Bytes, Bytes)>`, ...
///
/// A group's entry that was deleted since has nil for fields; `Option<F>` allows that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEntry<F> {
    /// Its id, as in `1700000000000-0`.
    pub id: String,
    /// Its fields with their values.
    pub fields: F,
}

impl<F: FromValue> FromValue for StreamEntry<F> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let items = Vec::<Value>::from_value(value)?;
        let [id, fields] = <[Value; 2]>::try_from(items)
            .map_err(|items| ConversionError::WrongLength { got: items.len(), wanted: 2 })?;
        Ok(Self { id: FromValue::from_value(id)?, fields: F::from_value(fields)? })
    }
}

/// What `xread` or `xreadgroup` brings: streams with their entries, none if nothing came in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReads<F> {
    /// The streams that have entries.
    pub streams: Vec<(Bytes, Vec<StreamEntry<F>>)>,
}

impl<F> StreamReads<F> {
    /// Whether nothing came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The entries of this stream.
    #[must_use]
    pub fn of(&self, key: impl AsRef<[u8]>) -> &[StreamEntry<F>] {
        let found = self.streams.iter().find(|(stream, _)| stream.as_ref() == key.as_ref());
        found.map_or(&[], |(_, entries)| entries)
    }

    /// The entries of all streams, one stream after the other.
    pub fn into_entries(self) -> impl Iterator<Item = StreamEntry<F>> {
        self.streams.into_iter().flat_map(|(_, entries)| entries)
    }
}

impl<F: FromValue> FromValue for StreamReads<F> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let streams: Option<Vec<(Bytes, Vec<StreamEntry<F>>)>> = FromValue::from_value(value)?;
        Ok(Self { streams: streams.unwrap_or_default() })
    }
}

/// What a group has delivered and nobody has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingSummary {
    /// How many entries.
    pub count: u64,
    /// The lowest id.
    pub first: Option<String>,
    /// The highest id.
    pub last: Option<String>,
    /// How many entries each consumer has.
    pub consumers: Vec<(String, u64)>,
}

impl FromValue for PendingSummary {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        type Parts = (u64, Option<String>, Option<String>, Option<Vec<(String, u64)>>);
        let (count, first, last, consumers): Parts = FromValue::from_value(value)?;
        Ok(Self { count, first, last, consumers: consumers.unwrap_or_default() })
    }
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingEntry {
    /// Its id.
    pub id: String,
    /// Who has it.
    pub consumer: String,
    /// How many milliseconds ago it was delivered.
    pub idle: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

impl FromValue for PendingEntry {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let (id, consumer, idle, deliveries) = FromValue::from_value(value)?;
        Ok(Self { id, consumer, idle, deliveries })
    }
}

/// What `xautoclaim` took over: entries, or their ids alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autoclaim<T> {
    /// Where the next call goes on; `0-0` after the last one.
    pub next: String,
    /// What was taken over.
    pub claimed: Vec<T>,
    /// Ids of entries that were deleted since, and are pending no more. Empty before Redis 7.0.
    pub deleted: Vec<String>,
}

impl<T: FromValue> FromValue for Autoclaim<T> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let mut parts = Vec::<Value>::from_value(value)?.into_iter();
        let mut next = || parts.next().unwrap_or(Value::Nil);
        let (cursor, claimed, deleted) = (next(), next(), next());
        Ok(Self {
            next: FromValue::from_value(cursor)?,
            claimed: FromValue::from_value(claimed)?,
            deleted: Option::from_value(deleted)?.unwrap_or_default(),
        })
    }
}

/// What `xinfo_stream` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo<F> {
    /// How many entries there are.
    pub length: u64,
    /// How many consumer groups.
    pub groups: u64,
    /// The highest id that was ever given.
    pub last_generated_id: String,
    /// The highest id that was deleted. Redis 7.0 and later.
    pub max_deleted_entry_id: Option<String>,
    /// How many entries were ever added. Redis 7.0 and later.
    pub entries_added: Option<u64>,
    /// The oldest entry.
    pub first_entry: Option<StreamEntry<F>>,
    /// The newest entry.
    pub last_entry: Option<StreamEntry<F>>,
}

impl<F: FromValue> FromValue for StreamInfo<F> {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let mut facts = Facts::of(value)?;
        Ok(Self {
            length: facts.take("length")?,
            groups: facts.take("groups")?,
            last_generated_id: facts.take("last-generated-id")?,
            max_deleted_entry_id: facts.perhaps("max-deleted-entry-id")?,
            entries_added: facts.perhaps("entries-added")?,
            first_entry: facts.take("first-entry")?,
            last_entry: facts.take("last-entry")?,
        })
    }
}

/// What `xinfo_groups` tells of each group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupInfo {
    /// Its name.
    pub name: String,
    /// How many consumers it has.
    pub consumers: u64,
    /// How many entries are delivered and not acknowledged.
    pub pending: u64,
    /// The id that it delivered last.
    pub last_delivered_id: String,
    /// How many entries it counts as read, where that is known. Redis 7.0 and later.
    pub entries_read: Option<u64>,
    /// How many entries it has still to deliver, where that is known. Redis 7.0 and later.
    pub lag: Option<u64>,
}

impl FromValue for GroupInfo {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let mut facts = Facts::of(value)?;
        Ok(Self {
            name: facts.take("name")?,
            consumers: facts.take("consumers")?,
            pending: facts.take("pending")?,
            last_delivered_id: facts.take("last-delivered-id")?,
            entries_read: facts.perhaps("entries-read")?,
            lag: facts.perhaps("lag")?,
        })
    }
}

/// What `xinfo_consumers` tells of each consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// Its name.
    pub name: String,
    /// How many entries it has and has not acknowledged.
    pub pending: u64,
    /// How many milliseconds ago it was heard of.
    pub idle: u64,
    /// How many milliseconds ago it got something, -1 if never. Redis 7.2 and later.
    pub inactive: Option<i64>,
}

impl FromValue for ConsumerInfo {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let mut facts = Facts::of(value)?;
        Ok(Self {
            name: facts.take("name")?,
            pending: facts.take("pending")?,
            idle: facts.take("idle")?,
            inactive: facts.perhaps("inactive")?,
        })
    }
}
