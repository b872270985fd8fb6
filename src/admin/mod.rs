//! Building, checking, mending and reshaping a cluster. Feature `admin`.
//!
//! What `redis-cli --cluster` does, as a library: each change is a [`Plan`] first, which prints as a table and as JSON,
//! and [`run`](Plan::run)s with its progress told. It can be stopped and dropped at any point; the next plan goes on
//! from what the cluster says.
//!
//! ```no_run
//! # async fn example() -> keyslot::Result<()> {
//! let admin = keyslot::Client::builder().url("redis://127.0.0.1:7000").admin().await?;
//! println!("{}", admin.check().await?);
//!
//! let plan = admin.rebalance(keyslot::admin::Rebalance::new()).await?;
//! println!("{plan}"); // a dry run
//! plan.run(|progress| println!("{} of {} slots", progress.slots_done, progress.slots)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing is ever sent twice because its reply was lost: the nodes are asked what is the case.

// A customer of the connections, the topology's slot sets and the client's settings. What is decided is decided by pure
// functions over a `ClusterView`; `execute` and what it calls act.

mod acl;
mod atomic;
mod check;
mod contents;
mod create;
mod databases;
mod execute;
mod fix;
mod functions;
mod handle;
mod json;
mod key_batch;
mod keyspace;
mod members;
mod membership;
mod mend;
mod moves;
mod node_line;
mod options;
mod peer;
mod plan;
mod progress;
mod report;
mod reshape;
mod restart;
mod roll;
mod settle;
mod shares;
mod slot_group;
mod slot_move;
mod slots;
mod spread;
mod step;
mod survey;
mod transit;
mod view;

pub use fix::Fix;
pub use handle::Admin;
pub use members::AddAs;
pub use node_line::NodeLine;
pub use options::AdminOptions;
pub use plan::Plan;
pub use progress::{Progress, StopHandle};
pub use report::{Problem, Report, Severity};
pub use reshape::Rebalance;
pub use slots::Slots;
pub use step::{Failover, Member, Step};
pub use view::{ClusterView, NodeView, Unreachable};
