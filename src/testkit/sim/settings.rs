//! [`Settings`]: the figures of a simulated cluster; each field's documentation is the one place of its default.

use std::time::Duration;

/// How a simulated cluster behaves.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Every choice of the simulation comes from it. Default 0.
    pub(super) seed: u64,
    /// `cluster-node-timeout`. Default 2 s.
    pub(super) node_timeout: Duration,
    /// From a change at one node to the others' knowing of it. Default 2 ms.
    pub(super) gossip_delay: Duration,
    /// From a write at the primary to its arrival at a replica. Default 1 ms.
    pub(super) replication_delay: Duration,
    /// `cluster-require-full-coverage`. Default yes.
    pub(super) requires_full_coverage: bool,
    /// `cluster-allow-reads-when-down`. Default no.
    pub(super) allows_reads_when_down: bool,
    /// Whether replicas of a failed primary take over by themselves. Default yes.
    pub(super) fails_over: bool,
    /// Whether effects are noted. Default yes.
    pub(super) keeps_ledger: bool,
    /// `requirepass` of all nodes. Default none.
    pub(super) password: Option<String>,
    /// ACL users of all nodes with their passwords. Default none.
    pub(super) users: Vec<(String, String)>,
    /// What the nodes' clocks show at the start.
    pub(super) unix_millis_at_begin: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            node_timeout: Duration::from_secs(2),
            gossip_delay: Duration::from_millis(2),
            replication_delay: Duration::from_millis(1),
            requires_full_coverage: true,
            allows_reads_when_down: false,
            fails_over: true,
            keeps_ledger: true,
            password: None,
            users: Vec::new(),
            // The first of January 2026: the same in every run.
            unix_millis_at_begin: 1_767_225_600_000,
        }
    }
}
