//! What replicas say of the writes of one connection: a unit that ends with `WAIT` or `WAITAOF`.
//!
//! Either counts the writes of its own connection, so it travels in one unit with them, on an exclusive connection. What is
//! redirected out of such a unit goes with one of its own behind it at the next node: an acknowledgement is told of what was
//! executed on that very connection, and of nothing else.

use crate::cluster::group::{Group, Member};
use crate::cluster::job::Job;
use crate::command::Command;
use crate::connection::loss::Loss;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::node::NodeAddr;
use crate::protocol::value::Value;
use crate::routing::redirect::kind_of;

/// What one node's `WAIT` said of the writes before it.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    pub(crate) node: NodeAddr,
    pub(crate) reply: Result<Value>,
}

/// What is told of the group, whose jobs have their replies; `reply` is that to the `WAIT` behind them. `None` if the node
/// has executed none of its writes.
pub(super) fn acknowledged(
    group: &Group<'_>,
    wait: &Command,
    jobs: &[Job<'_>],
    reply: Option<Value>,
    loss: Option<&Loss>,
) -> Option<Acknowledged> {
    let was_written = |member: &Member| {
        let Some(job) = jobs.get(member.job) else { return false };
        let mut writes = false;
        job.for_each_piece(|piece| writes |= piece.may_write());
        writes && matches!(job.result(), Some(Ok(_)))
    };
    if !group.members().iter().any(was_written) {
        return None;
    }
    let node = group.pool.node().clone();
    let failed = |kind, outcome, text: String| {
        Error::new(kind, outcome, text).with_command(wait.shared_name()).with_node(node.clone())
    };
    let reply = match (reply, loss) {
        (Some(Value::Error(error)), _) => {
            let text =
                format!("the writes were executed, but not how many replicas have them is known: {error}");
            Err(failed(kind_of(&error), Outcome::Rejected, text).with_code(error.code()))
        }
        (Some(value), _) => Ok(value),
        (None, Some(loss)) => {
            let text = format!(
                "the writes were executed, but not how many replicas have them is known: {}",
                loss.cause
            );
            Err(failed(ErrorKind::ConnectionLost, Outcome::MaybeExecuted, text))
        }
        (None, None) => Err(failed(ErrorKind::Protocol, Outcome::MaybeExecuted, "a reply is missing".into())),
    };
    Some(Acknowledged { node, reply })
}
