//! [`Row`]: one run of one client, as a line of JSON.

use serde::{Deserialize, Serialize};

/// Times are in microseconds; "per op" is per command, or per key of an `MGET`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) client: String,
    pub(crate) workload: String,
    pub(crate) runtime: String,
    /// Which of the interleaved rounds; 0 for a row that has counts only, all times of which are 0.
    pub(crate) round: usize,
    /// What was done instead, if the client has no way of its own; of `redis-benchmark`, its options.
    pub(crate) emulated: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) ops: u64,
    pub(crate) ops_per_second: f64,
    /// Client CPU per op, then its parts.
    pub(crate) cpu: f64,
    pub(crate) cpu_user: f64,
    pub(crate) cpu_system: f64,
    /// CPU of all servers per op.
    pub(crate) server_cpu: Option<f64>,
    /// Per request: of a pipeline, until the last reply.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: Option<f64>,
    /// Peak of the whole process, and before the client was made; the keys are in both.
    pub(crate) peak_kib: u64,
    pub(crate) before_kib: u64,
    /// Per op, from the build that counts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) allocations: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) allocated_bytes: Option<f64>,
    /// User instructions per op.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) instructions: Option<f64>,
    /// System calls per op.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) system_calls: Option<f64>,
}
