//! [`KeyBatch`]: the keys of one `MIGRATE`; [`Transfer`]: how they are sent, and what is done where that fails.
//!
//! Source: [MIGRATE](https://redis.io/docs/latest/commands/migrate/).

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::admin::peer::Peer;
use crate::command::Command;
use crate::config::credentials::Credentials;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::node::NodeAddr;
use crate::protocol::value::Value;

/// How often a key that does not arrive in time is tried at least, with twice the time each.
const TRIES: u32 = 5;

/// For what a command does apart from being silent.
const SPARE: Duration = Duration::from_secs(60);

/// Keys of one slot that go together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct KeyBatch {
    keys: Vec<Bytes>,
    /// What each takes in memory, as far as it is known.
    sizes: Vec<u64>,
    /// What they take together.
    bytes: u64,
}

/// What has come to the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Arrival {
    pub(super) keys: u64,
    pub(super) bytes: u64,
    /// Of how many the target had a copy.
    pub(super) replaced: u64,
}

impl KeyBatch {
    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.keys.len()).unwrap_or(u64::MAX)
    }
}

/// Asks for the sizes of the keys and puts them into batches of at most `most` bytes; a larger key goes alone. A server
/// that does not tell sizes gets them all in one.
pub(super) async fn batches(source: &Peer, keys: Vec<Bytes>, most: u64) -> Result<Vec<KeyBatch>> {
    let sizes = sizes(source, &keys).await?;
    Ok(divide(keys.into_iter().zip(sizes), most))
}

/// What each of the keys takes in memory; 0 if the server does not tell, or it has gone.
pub(super) async fn sizes(source: &Peer, keys: &[Bytes]) -> Result<Vec<u64>> {
    let asked: Vec<Command> = keys.iter().map(|key| Command::new("MEMORY USAGE").arg(key)).collect();
    let mut sizes = Vec::with_capacity(keys.len());
    for reply in source.ask_all(&asked).await {
        sizes.push(match reply? {
            Value::Int(size) => u64::try_from(size).unwrap_or(0),
            _gone_or_not_allowed => 0,
        });
    }
    Ok(sizes)
}

/// Batches of at most `most` bytes; a larger key goes alone.
pub(super) fn divide(keys: impl Iterator<Item = (Bytes, u64)>, most: u64) -> Vec<KeyBatch> {
    let mut batches: Vec<KeyBatch> = Vec::new();
    for (key, size) in keys {
        match batches.last_mut().filter(|last| last.bytes.saturating_add(size) <= most) {
            Some(last) => {
                last.keys.push(key);
                last.sizes.push(size);
                last.bytes += size;
            }
            None => batches.push(KeyBatch { keys: vec![key], sizes: vec![size], bytes: size }),
        }
    }
    batches
}

/// What became of one `MIGRATE`.
#[derive(Debug)]
enum Sent {
    /// None of the keys is at the source any more.
    All,
    /// The target has one of them already; the others may have gone.
    Busy,
    /// The target was silent for too long, or could not be reached; it may have them all the same.
    Silent(Error),
}

/// From where keys go, and where.
#[derive(Clone, Debug)]
pub(super) struct Transfer<'a> {
    pub(super) source: &'a Peer,
    pub(super) target: &'a Peer,
    /// Where the source reaches the target.
    pub(super) announced: NodeAddr,
    pub(super) timeout: Duration,
    /// For how long a key is tried at least that does not arrive in time: how much it needs is known to nobody.
    pub(super) patience: Duration,
}

/// How long the target of one key or batch may be silent, longer from time to time.
struct Waits {
    begin: Instant,
    timeout: Duration,
    silences: u32,
}

impl Transfer<'_> {
    /// Sends the keys, and tells what has arrived as it does. A copy at the target is of an attempt before, whose reply
    /// was lost: it is replaced only while `is_the_sources` says that the source's value is what counts.
    ///
    /// No `AsyncFn`: its future is not known to be `Send` for every lifetime, and no plan could run in a task of its own.
    pub(super) async fn send<F: Future<Output = Result<bool>>>(
        &self,
        batch: KeyBatch,
        is_the_sources: impl Fn() -> F,
        arrived: impl Fn(Arrival),
    ) -> Result<()> {
        match self.migrate(&batch.keys, false, self.timeout).await? {
            Sent::All => {
                arrived(Arrival { keys: batch.len(), bytes: batch.bytes, replaced: 0 });
                return Ok(());
            }
            Sent::Busy => {}
            Sent::Silent(error) => self.wait_longer(&mut self.waits(), error).await?,
        }
        // One by one from here on, so that a large one has the time to itself, and only what must be is replaced.
        for (key, size) in batch.keys.iter().zip(batch.sizes) {
            let replaced = self.send_one(key, &is_the_sources).await?;
            arrived(Arrival { keys: 1, bytes: size, replaced: u64::from(replaced) });
        }
        Ok(())
    }

    /// Returns whether the target had a copy before.
    async fn send_one<F: Future<Output = Result<bool>>>(
        &self,
        key: &Bytes,
        is_the_sources: &impl Fn() -> F,
    ) -> Result<bool> {
        let mut waits = self.waits();
        let mut replace = false;
        loop {
            match self.migrate(std::slice::from_ref(key), replace, waits.timeout).await? {
                Sent::All => return Ok(replace && waits.silences == 0),
                Sent::Busy if replace => {
                    let text = "the target has a key already and does not let it be replaced";
                    return Err(self.given_up(text));
                }
                Sent::Busy => {}
                Sent::Silent(error) => self.wait_longer(&mut waits, error).await?,
            }
            if !is_the_sources().await? {
                return Err(self.given_up("the slot is not on its way to the target any more"));
            }
            replace = true;
        }
    }

    fn waits(&self) -> Waits {
        Waits { begin: Instant::now(), timeout: self.timeout, silences: 0 }
    }

    /// The target has been silent: it gets twice the time, unless that was all. But only one that answers us, and so was
    /// merely slow: while the source waits for it, the source serves nobody, and in the end others take it for failed.
    async fn wait_longer(&self, waits: &mut Waits, error: Error) -> Result<()> {
        waits.silences += 1;
        if waits.silences >= TRIES && waits.begin.elapsed() >= self.patience {
            return Err(error);
        }
        self.target.read(&Command::new("PING")).await?;
        waits.timeout = waits.timeout.saturating_mul(2);
        Ok(())
    }

    fn given_up(&self, text: &'static str) -> Error {
        Error::new(ErrorKind::Unavailable, Outcome::Rejected, text).with_node(self.source.addr().clone())
    }

    /// Sends the keys; those that the target has already are dropped here, for the target's value is what counts.
    /// Returns how many went.
    pub(super) async fn send_or_drop(&self, batch: KeyBatch) -> Result<u64> {
        if self.sent_or_there(&batch.keys).await? {
            return Ok(batch.len());
        }
        let mut gone = 0;
        for key in &batch.keys {
            if self.sent_or_there(std::slice::from_ref(key)).await? {
                gone += 1;
                continue;
            }
            // As one unit: the flag is good for one command only.
            let delete = Command::new("DEL").arg(key);
            let replies = self.source.ask_all(&[Command::new("ASKING"), delete.clone()]).await;
            if let Some(Value::Error(error)) = replies.into_iter().next_back().transpose()? {
                return Err(self.source.refused(&delete, &error));
            }
        }
        Ok(gone)
    }

    /// Sends the keys without replacing any. False: the target has one of them, maybe since it was silent.
    async fn sent_or_there(&self, keys: &[Bytes]) -> Result<bool> {
        let mut waits = self.waits();
        loop {
            match self.migrate(keys, false, waits.timeout).await? {
                Sent::All => return Ok(true),
                Sent::Busy => return Ok(false),
                Sent::Silent(error) => self.wait_longer(&mut waits, error).await?,
            }
        }
    }

    async fn migrate(&self, keys: &[Bytes], replace: bool, timeout: Duration) -> Result<Sent> {
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).clamp(1, i64::MAX as u64);
        let mut command = Command::new("MIGRATE")
            .arg(self.announced.host())
            .arg(self.announced.port())
            .arg("")
            .arg(0)
            .arg(millis)
            // Its two ends wait in turns, and the server tries once more by itself.
            .timeout(timeout.saturating_mul(4).saturating_add(SPARE));
        if replace {
            command = command.arg("REPLACE");
        }
        // The source authenticates at the target as we do here.
        if let Some(Credentials { username, password, .. }) = &self.source.credentials().await? {
            command = match username {
                Some(user) => command.arg("AUTH2").arg(user).arg(password),
                None => command.arg("AUTH").arg(password),
            };
        }
        let command = command.arg("KEYS").args(keys);
        match self.source.ask(&command).await? {
            Value::Error(error) if error.code() == "IOERR" => {
                Ok(Sent::Silent(self.source.refused(&command, &error)))
            }
            Value::Error(error) if error.text().contains("BUSYKEY") => Ok(Sent::Busy),
            Value::Error(error) => Err(self.source.refused(&command, &error)),
            _ok_or_nokey => Ok(Sent::All),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::divide;

    #[test]
    fn keys_are_divided_by_their_sizes_and_a_large_one_goes_alone() {
        let keys = |sizes: &[u64]| -> Vec<(Bytes, u64)> {
            sizes.iter().map(|size| (Bytes::from(size.to_string()), *size)).collect()
        };
        let lengths = |sizes: &[u64]| -> Vec<(u64, u64)> {
            divide(keys(sizes).into_iter(), 100).iter().map(|batch| (batch.len(), batch.bytes)).collect()
        };
        assert_eq!(lengths(&[]), []);
        assert_eq!(lengths(&[40, 60, 1]), [(2, 100), (1, 1)]);
        assert_eq!(lengths(&[1, 500, 1]), [(1, 1), (1, 500), (1, 1)]);
        assert_eq!(lengths(&[0, 0, 0]), [(3, 0)], "sizes that nobody tells");
    }
}
