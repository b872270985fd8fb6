//! [`AdminOptions`]: how fast slots move, how long is waited for what.

use std::time::Duration;

/// Longer than anybody waits, and no clock overflows by it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How the nodes of a cluster are told to change it. What is not set has the default that its method names.
/// Times above a year are taken for a year.
#[derive(Clone, Debug)]
#[must_use = "options do nothing until they are given to an Admin"]
pub struct AdminOptions {
    pub(super) slots_at_a_time: usize,
    pub(super) batch_keys: usize,
    pub(super) batch_bytes: u64,
    pub(super) pause: Duration,
    pub(super) key_timeout: Duration,
    pub(super) agreement_timeout: Duration,
    pub(super) retry_for: Duration,
    pub(super) atomic: bool,
    pub(super) copy_users: bool,
    pub(super) restart_timeout: Duration,
    pub(super) restart_alone: bool,
}

impl Default for AdminOptions {
    fn default() -> Self {
        Self {
            slots_at_a_time: 32,
            batch_keys: 200,
            batch_bytes: 1 << 20,
            pause: Duration::ZERO,
            key_timeout: Duration::from_secs(5),
            agreement_timeout: Duration::from_secs(30),
            retry_for: Duration::from_secs(60),
            atomic: true,
            copy_users: false,
            restart_timeout: Duration::from_secs(300),
            restart_alone: false,
        }
    }
}

impl AdminOptions {
    /// All options at their defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many slots of one pair of nodes are under way at a time, at least 1. Each node is told of half of them in one
    /// go, and writes its configuration file once for that, so more are faster; each is answered with `ASK` for keys that
    /// have left. Default: 32.
    pub fn slots_at_a_time(mut self, slots: usize) -> Self {
        self.slots_at_a_time = slots.max(1);
        self
    }

    /// The largest batch of one `MIGRATE`, in keys (at least 1) and in bytes of memory. The source serves nobody while
    /// it sends a batch. A key that is larger than the batch goes alone. Default: 200 keys, 1 MiB.
    pub fn batch(mut self, keys: usize, bytes: u64) -> Self {
        self.batch_keys = keys.max(1);
        self.batch_bytes = bytes.max(1);
        self
    }

    /// A throttle: how long each slot rests between two batches. Default: none.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause.min(LONGEST);
        self
    }

    /// How long the target of a batch may be silent (the timeout of `MIGRATE`). A single key that does not make it is sent
    /// again with twice the time each, for as long as the target answers and at least for [`retry_for`](Self::retry_for):
    /// so no key is too large, and this may be short. The source serves nobody while it waits: longer than
    /// `cluster-node-timeout` (15 seconds, unless it is configured) the others take it for failed. Default: 5 seconds.
    pub fn key_timeout(mut self, timeout: Duration) -> Self {
        self.key_timeout = timeout.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// How long is waited until all nodes agree after a change, or a node has taken its new role. Default: 30 seconds.
    pub fn agreement_timeout(mut self, timeout: Duration) -> Self {
        self.agreement_timeout = timeout.min(LONGEST);
        self
    }

    /// For how long a slot is tried again whose source or target fails over, loads or cannot be reached. Default: 60
    /// seconds.
    pub fn retry_for(mut self, limit: Duration) -> Self {
        self.retry_for = limit.min(LONGEST);
        self
    }

    /// Whether slots move all keys in one moment and of all databases where the servers can, instead of key by key: by
    /// `CLUSTER MIGRATESLOTS` (Valkey 9), or `CLUSTER MIGRATION IMPORT` (Redis 8.4; written from its documentation and tried
    /// on the simulated cluster only). Up to 512 slots go together; a [stop](crate::admin::StopHandle) cancels those that
    /// are under way. Default: true.
    pub fn atomic(mut self, atomic: bool) -> Self {
        self.atomic = atomic;
        self
    }

    /// Whether [`add_node`](crate::admin::Admin::add_node) gives the new node the users of the others, with their rights
    /// and the hashes of their passwords: they are each node's own, and nothing else brings them there. Users of the same
    /// name are replaced, `default` too. A node without a file of users (`aclfile`) knows them until it restarts, or for
    /// good after `CONFIG REWRITE`. What replicas authenticate with (`masteruser`, `masterauth`) is not copied. Default:
    /// false.
    pub fn copy_users(mut self, copy: bool) -> Self {
        self.copy_users = copy;
        self
    }

    /// How long [`roll`](crate::admin::Admin::roll) waits for each node to be back: started, with its data loaded and in
    /// sync with its primary. Default: 300 seconds.
    pub fn restart_timeout(mut self, timeout: Duration) -> Self {
        self.restart_timeout = timeout.min(LONGEST);
        self
    }

    /// Whether [`roll`](crate::admin::Admin::roll) restarts a primary with slots that has no replica. Its slots are not
    /// served meanwhile, and it comes back with what it has saved to disk. Default: false.
    pub fn restart_alone(mut self, allowed: bool) -> Self {
        self.restart_alone = allowed;
        self
    }
}
