//! [`Keyspace`]: the keys of one node, by slot, with what the running command has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::slot::Slot;
use crate::testkit::sim::keyspace::entry::{Entry, Kind, Stored};
use crate::testkit::sim::refused::Refused;

/// What a command did to the data; replicas, watchers, blocked and tracking clients are told.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::testkit::sim) enum Change {
    /// The key was written, removed or has expired.
    Key(Bytes),
    /// All keys were removed.
    All,
}

/// The keys of one node. Ordered by slot and name, so that the same run gives the same replies.
#[derive(Debug, Default)]
pub(in crate::testkit::sim) struct Keyspace {
    entries: BTreeMap<(u16, Bytes), Entry>,
    expiries: BTreeSet<(u64, Bytes)>,
    changes: Vec<Change>,
    /// Milliseconds of Unix time, as of the running command.
    now: u64,
}

fn place(key: &Bytes) -> (u16, Bytes) {
    (Slot::of_key(key).get(), key.clone())
}

impl Keyspace {
    /// Begins a command. What has expired is removed on a primary; a replica hides it and waits to be told.
    pub(in crate::testkit::sim) fn begin(&mut self, now: u64, is_primary: bool) {
        self.now = now;
        while is_primary
            && let Some((at, key)) = self.expiries.first().cloned()
            && at <= now
        {
            self.remove(&key);
            self.expiries.remove(&(at, key));
        }
    }

    /// Milliseconds of Unix time.
    pub(in crate::testkit::sim) fn now(&self) -> u64 {
        self.now
    }

    /// What was changed since the last call, each key once, in order.
    pub(in crate::testkit::sim) fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.changes);
        let mut seen = BTreeSet::new();
        changes.retain(|change| seen.insert(change.clone()));
        changes
    }

    /// Whether the running command has changed anything yet.
    pub(in crate::testkit::sim) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// How many changes were noted since they were taken last.
    pub(in crate::testkit::sim) fn noted(&self) -> usize {
        self.changes.len()
    }

    pub(in crate::testkit::sim) fn entry(&self, key: &Bytes) -> Option<&Entry> {
        let entry = self.entries.get(&place(key))?;
        entry.expires_at.is_none_or(|at| at > self.now).then_some(entry)
    }

    pub(in crate::testkit::sim) fn contains(&self, key: &Bytes) -> bool {
        self.entry(key).is_some()
    }

    /// The value, if the key exists; an error if it is of another type.
    pub(in crate::testkit::sim) fn read<K: Kind>(&self, key: &Bytes) -> Result<Option<&K>, Refused> {
        let Some(entry) = self.entry(key) else { return Ok(None) };
        K::of(&entry.value).map(Some).ok_or_else(Refused::wrong_type)
    }

    /// The value to be changed, made empty if the key does not exist. [`Keyspace::changed`] must follow, also if
    /// nothing was put into it.
    pub(in crate::testkit::sim) fn write<K: Kind>(&mut self, key: &Bytes) -> Result<&mut K, Refused> {
        if self.entry(key).is_none() {
            self.drop_entry(key);
        }
        let entry = self
            .entries
            .entry(place(key))
            .or_insert_with(|| Entry { value: Arc::new(K::default().into_stored()), expires_at: None });
        K::of_mut(Arc::make_mut(&mut entry.value)).ok_or_else(Refused::wrong_type)
    }

    /// Notes that a command has changed the key; one that is empty now is removed.
    pub(in crate::testkit::sim) fn changed(&mut self, key: &Bytes) {
        self.untouched(key);
        self.changes.push(Change::Key(key.clone()));
    }

    /// After [`Keyspace::write`], if nothing was changed after all: removes what is empty, and notes no change.
    pub(in crate::testkit::sim) fn untouched(&mut self, key: &Bytes) {
        if self.entries.get(&place(key)).is_some_and(|entry| entry.value.is_gone()) {
            self.drop_entry(key);
        }
    }

    /// Puts a value in place of any that there was, its expiry too.
    pub(in crate::testkit::sim) fn put(&mut self, key: &Bytes, value: Stored, expires_at: Option<u64>) {
        self.put_entry(key, Entry { value: Arc::new(value), expires_at });
    }

    pub(in crate::testkit::sim) fn put_entry(&mut self, key: &Bytes, entry: Entry) {
        self.drop_entry(key);
        if let Some(at) = entry.expires_at {
            self.expiries.insert((at, key.clone()));
        }
        self.entries.insert(place(key), entry);
        self.changed(key);
    }

    /// Sets or clears the expiry of a key that exists.
    pub(in crate::testkit::sim) fn set_expiry(&mut self, key: &Bytes, expires_at: Option<u64>) {
        let Some(entry) = self.entries.get_mut(&place(key)) else { return };
        if let Some(before) = std::mem::replace(&mut entry.expires_at, expires_at) {
            self.expiries.remove(&(before, key.clone()));
        }
        if let Some(at) = expires_at {
            self.expiries.insert((at, key.clone()));
        }
        self.changes.push(Change::Key(key.clone()));
    }

    /// Removes a key; what it was, unless it had expired.
    pub(in crate::testkit::sim) fn remove(&mut self, key: &Bytes) -> Option<Entry> {
        let entry = self.drop_entry(key)?;
        self.changes.push(Change::Key(key.clone()));
        entry.expires_at.is_none_or(|at| at > self.now).then_some(entry)
    }

    /// Removes all keys.
    pub(in crate::testkit::sim) fn clear(&mut self) {
        self.entries.clear();
        self.expiries.clear();
        self.changes.push(Change::All);
    }

    /// How many keys there are.
    pub(in crate::testkit::sim) fn len(&self) -> usize {
        self.keys().count()
    }

    /// All keys, by slot and name.
    pub(in crate::testkit::sim) fn keys(&self) -> impl Iterator<Item = (u16, &Bytes, &Entry)> {
        self.keys_from(0)
    }

    /// The keys of `slot` and all slots behind it.
    pub(in crate::testkit::sim) fn keys_from(
        &self,
        slot: u16,
    ) -> impl Iterator<Item = (u16, &Bytes, &Entry)> {
        self.entries
            .range((slot, Bytes::new())..)
            .filter(|(_, entry)| entry.expires_at.is_none_or(|at| at > self.now))
            .map(|((slot, key), entry)| (*slot, key, entry))
    }

    /// The keys of one slot.
    pub(in crate::testkit::sim) fn keys_in(&self, slot: u16) -> impl Iterator<Item = &Bytes> {
        self.keys_from(slot).take_while(move |(of, ..)| *of == slot).map(|(_, key, _)| key)
    }

    /// When the next key expires.
    pub(in crate::testkit::sim) fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// A change of the primary, on its replica.
    pub(in crate::testkit::sim) fn follow(&mut self, key: &Bytes, entry: Option<Entry>) {
        let noted = self.changes.len();
        match entry {
            Some(entry) => self.put_entry(key, entry),
            None => _ = self.drop_entry(key),
        }
        self.changes.truncate(noted);
        self.changes.push(Change::Key(key.clone()));
    }

    /// All that the primary has, in place of all that there is: sent as a whole, or only what was missed.
    pub(in crate::testkit::sim) fn follow_all(&mut self, primary: &Self, is_whole: bool) {
        let before = std::mem::replace(&mut self.entries, primary.entries.clone());
        self.expiries.clone_from(&primary.expiries);
        if is_whole {
            self.changes.push(Change::All);
        }
        let is_same = |place: &(u16, Bytes)| match (before.get(place), self.entries.get(place)) {
            (Some(before), Some(now)) => before.is_same(now),
            (None, None) => true,
            _ => false,
        };
        let others: BTreeSet<_> =
            before.keys().chain(self.entries.keys()).filter(|key| !is_same(key)).collect();
        self.changes.extend(others.into_iter().map(|(_, key)| Change::Key(key.clone())));
    }

    fn drop_entry(&mut self, key: &Bytes) -> Option<Entry> {
        let entry = self.entries.remove(&place(key))?;
        if let Some(at) = entry.expires_at {
            self.expiries.remove(&(at, key.clone()));
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Change, Keyspace};
    use crate::testkit::sim::keyspace::entry::{List, Stored, Text};

    #[test]
    fn an_empty_list_is_no_key_and_a_written_one_is_noted_once() {
        let mut keys = Keyspace::default();
        let key = Bytes::from_static(b"l");
        keys.write::<List>(&key).unwrap().push_back(Bytes::from_static(b"a"));
        keys.changed(&key);
        keys.changed(&key);
        assert_eq!(keys.take_changes(), [Change::Key(key.clone())]);
        keys.write::<List>(&key).unwrap().clear();
        keys.changed(&key);
        assert!(!keys.contains(&key));
        assert!(keys.read::<Text>(&key).unwrap().is_none());
    }

    #[test]
    fn an_expired_key_goes_on_a_primary_and_is_hidden_on_a_replica() {
        let key = Bytes::from_static(b"k");
        let mut keys = Keyspace::default();
        keys.put(&key, Stored::Text(Text(key.clone())), Some(100));
        keys.begin(99, true);
        assert!(keys.contains(&key));
        keys.begin(100, false);
        assert!(!keys.contains(&key));
        assert_eq!(keys.take_changes(), [Change::Key(key.clone())]);
        assert_eq!(keys.take_changes(), []);
        keys.begin(100, true);
        assert_eq!(keys.take_changes(), [Change::Key(key)]);
    }
}
