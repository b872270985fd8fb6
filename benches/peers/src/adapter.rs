//! [`Adapter`]: what a client must do to be measured; one file for each client in [`crate::adapters`].

use std::error::Error;
use std::future::Future;

use bytes::Bytes;

/// Any failure ends a run: a row that lost a reply is worth nothing.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Keys are made before the clock starts and live as long as the process, so that every client can take them the
/// cheapest way that it has.
pub(crate) type Key = &'static str;

/// As [`Key`]; `Bytes`, because some clients send a large value without a copy if they are given one.
pub(crate) type Value = &'static Bytes;

/// How a client loads many keys: tasks, and keys in each of their batches.
#[derive(Clone, Copy)]
pub(crate) struct Bulk {
    pub(crate) tasks: usize,
    pub(crate) batch: usize,
}

/// A client, written as its documentation advises; each task has a clone. Replies are read as the cheapest type that
/// owns its bytes. What a client cannot do by itself is emulated the best way that its interface allows, and
/// [`Adapter::EMULATED`] says so.
///
/// The methods return what came; the driver checks it, the same way for all.
pub(crate) trait Adapter: Clone + Send + Sync + Sized + 'static {
    /// A reply that the caller may keep.
    type Reply: AsRef<[u8]> + Send;

    /// How it loads fastest, as found by trial.
    const BULK: Bulk;

    /// Names of workloads that the client has no way of its own for, up to their number, each with what is done instead.
    const EMULATED: &'static [(&'static str, &'static str)] = &[];

    fn connect(seeds: &[String]) -> impl Future<Output = Result<Self>>;

    fn get(&mut self, key: Key) -> impl Future<Output = Result<Option<Self::Reply>>> + Send;

    fn set(&mut self, key: Key, value: Value) -> impl Future<Output = Result<()>> + Send;

    /// A pipeline of `GET`s, whatever their slots.
    fn pipeline_get(
        &mut self,
        keys: &'static [Key],
    ) -> impl Future<Output = Result<Vec<Option<Self::Reply>>>> + Send;

    /// A pipeline of `GET`s of one slot.
    fn pipeline_get_one_slot(
        &mut self,
        keys: &'static [Key],
    ) -> impl Future<Output = Result<Vec<Option<Self::Reply>>>> + Send {
        self.pipeline_get(keys)
    }

    /// `MGET`, whatever the keys' slots.
    fn mget(&mut self, keys: &'static [Key])
    -> impl Future<Output = Result<Vec<Option<Self::Reply>>>> + Send;

    /// A pipeline of `SET`s, whatever their slots; how many were answered with `OK`.
    fn pipeline_set(
        &mut self,
        keys: &'static [Key],
        value: Value,
    ) -> impl Future<Output = Result<usize>> + Send;
}
