//! [`SubscriberOptions`]: the settings of one subscriber, as data.

use std::time::Duration;

/// What is done with a message for which the buffer has no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// The oldest messages in the buffer make room. The reader gets a [`Gap`](crate::Gap) with their number in their place,
    /// and then the newest ones.
    #[default]
    DropOldest,
    /// It is dropped, and so are those that follow until there is room. The reader gets all older ones, and then a
    /// [`Gap`](crate::Gap) with the number of those that are missing.
    DropNewest,
    /// Nothing is read from the connections until there is room. The server keeps the messages then, up to its
    /// `client-output-buffer-limit pubsub` (32 MB, or 8 MB for a minute, by default), and closes the connection if they
    /// become more: that is a [`Gap`](crate::Gap) without a number. The end of a connection is noticed late, and
    /// subscribing is not confirmed, while nothing is read.
    StopReading,
}

/// The settings of a subscriber. What is not set has the default that its method names.
///
/// ```no_run
/// # fn example(client: &keyslot::Client) {
/// use keyslot::{OverflowPolicy, SubscriberOptions};
///
/// let options = SubscriberOptions::new().buffer(100_000, 64 << 20).overflow(OverflowPolicy::DropNewest);
/// let subscriber = client.subscriber_with(options);
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a subscriber is made with them"]
pub struct SubscriberOptions {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) overflow: OverflowPolicy,
    pub(crate) keep_alive: Duration,
    pub(crate) timeout: Option<Duration>,
}

impl Default for SubscriberOptions {
    fn default() -> Self {
        Self {
            messages: 1024,
            bytes: 16 << 20,
            overflow: OverflowPolicy::DropOldest,
            keep_alive: Duration::from_secs(5),
            timeout: None,
        }
    }
}

impl SubscriberOptions {
    /// All settings at their defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How much may wait for the reader: messages (other events count as one each), and bytes of their names and
    /// payloads. The first limit that is reached counts. A single message that is larger than `bytes` has room when
    /// nothing else waits. Default: 1024 messages and 16 MiB. 0 is taken as 1.
    pub fn buffer(mut self, messages: usize, bytes: usize) -> Self {
        self.messages = messages.max(1);
        self.bytes = bytes.max(1);
        self
    }

    /// What is done with messages for which the buffer has no room. Default: [`OverflowPolicy::DropOldest`].
    pub fn overflow(mut self, policy: OverflowPolicy) -> Self {
        self.overflow = policy;
        self
    }

    /// A connection on which nothing was received for so long is asked for a sign of life (`PING`), and given up if
    /// nothing comes for as long again. So a peer that died without a word is noticed within twice this time; the end of a
    /// connection is noticed at once. Default: 5 seconds; not less than 10 milliseconds.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval.clamp(Duration::from_millis(10), Duration::from_secs(365 * 24 * 3600));
        self
    }

    /// How long a server's confirmation of a subscription is waited for, over redirects, retries and reconnects.
    /// Default: the client's command time-out.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}
