//! [`Durable`]: what replicas and disks acknowledge.

use std::time::Duration;

use crate::cluster::acknowledged::Acknowledged as Told;
use crate::command::Command;
use crate::error::{Error, Result};
use crate::node::NodeAddr;
use crate::protocol::from_value::{ConversionError, FromValue};
use crate::protocol::value::Value;
use crate::request::convert;

/// What [`Pipeline::run_durable`](crate::Pipeline::run_durable) and its sister give: the results, and what each node that
/// has executed writes of the pipeline says of their copies.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use std::time::Duration;
///
/// let mut pipe = client.pipeline();
/// pipe.set("order:1", "paid").set("order:2", "sent");
/// let durable = pipe.run_durable(1, Duration::from_millis(500)).await?;
/// let ((), ()) = durable.read()?;
/// assert!(durable.replicas()? >= Some(1), "each node's replica has its writes");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Durable<A> {
    /// One for each command, in order, as [`Pipeline::run_each`](crate::Pipeline::run_each) has them.
    pub replies: Vec<Result<Value>>,
    /// One for each node, in no order. A write whose own result is an error is covered by none of them.
    pub acknowledged: Vec<Acknowledged<A>>,
}

/// What one node says of the copies of the writes that it has executed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Acknowledged<A> {
    /// The primary that executed the writes.
    pub node: NodeAddr,
    /// How many replicas have them ([`Pipeline::run_durable`](crate::Pipeline::run_durable)), or whose append-only files
    /// ([`Pipeline::run_durable_on_disk`](crate::Pipeline::run_durable_on_disk)). An error says why it is not known; the
    /// writes were executed all the same.
    pub by: Result<A>,
}

/// Whose append-only files have the writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OnDisk {
    /// That of the node which executed them.
    pub local: bool,
    /// Those of so many replicas.
    pub replicas: u64,
}

/// What can be told of several nodes as one.
pub(crate) trait Worst: FromValue + Copy {
    fn worst(self, other: Self) -> Self;
}

impl Worst for u64 {
    fn worst(self, other: Self) -> Self {
        self.min(other)
    }
}

impl Worst for OnDisk {
    fn worst(self, other: Self) -> Self {
        Self { local: self.local && other.local, replicas: self.replicas.min(other.replicas) }
    }
}

/// The reply to `WAITAOF`.
impl FromValue for OnDisk {
    fn from_value(value: Value) -> Result<Self, ConversionError> {
        let (local, replicas): (u64, u64) = FromValue::from_value(value)?;
        Ok(Self { local: local > 0, replicas })
    }
}

impl<A> Durable<A> {
    /// Reads the replies as one `T`, as [`Pipeline::run`](crate::Pipeline::run) does.
    ///
    /// # Errors
    ///
    /// The first of the results that is one, or [`ErrorKind::Conversion`](crate::ErrorKind::Conversion).
    pub fn read<T: FromValue>(&self) -> Result<T> {
        let values: Vec<Value> = self.replies.iter().cloned().collect::<Result<_>>()?;
        convert(Value::Array(values), "pipeline".into())
    }
}

impl Durable<u64> {
    /// How many replicas have every write that was executed: the smallest number of all nodes. `None` if no write was
    /// executed.
    ///
    /// # Errors
    ///
    /// If the number of one node is not known: the first error of [`Durable::acknowledged`]. The writes were executed.
    pub fn replicas(&self) -> Result<Option<u64>> {
        worst_of(&self.acknowledged)
    }
}

impl Durable<OnDisk> {
    /// Whose append-only files have every write that was executed: the worst of all nodes. `None` if no write was executed.
    ///
    /// # Errors
    ///
    /// As [`Durable::replicas`](Durable::<u64>::replicas).
    pub fn on_disk(&self) -> Result<Option<OnDisk>> {
        worst_of(&self.acknowledged)
    }
}

/// Puts together what the nodes said; what several connections to one node said becomes the worst of it.
pub(crate) fn durable<A: Worst>(replies: Vec<Result<Value>>, told: Vec<Told>, wait: &Command) -> Durable<A> {
    let mut acknowledged: Vec<Acknowledged<A>> = Vec::new();
    for Told { node, reply } in told {
        let by = reply.and_then(|value| convert(value, wait.shared_name()));
        match acknowledged.iter_mut().find(|earlier| earlier.node == node) {
            Some(earlier) => earlier.by = worst(earlier.by.clone(), by),
            None => acknowledged.push(Acknowledged { node, by }),
        }
    }
    Durable { replies, acknowledged }
}

fn worst_of<A: Worst>(acknowledged: &[Acknowledged<A>]) -> Result<Option<A>> {
    acknowledged.iter().map(|of_node| of_node.by.clone()).reduce(worst).transpose()
}

fn worst<A: Worst>(one: Result<A>, other: Result<A>) -> Result<A> {
    Ok(one?.worst(other?))
}

/// The argument of `WAIT` and `WAITAOF`; 0 would be for ever.
pub(crate) fn millis(timeout: Duration) -> Result<u64> {
    match u64::try_from(timeout.as_micros().div_ceil(1000)) {
        Ok(0) => Err(Error::usage("a timeout of 0 means for ever to the server: say how long to wait")),
        Ok(millis) if millis <= i64::MAX.unsigned_abs() => Ok(millis),
        Ok(_) | Err(_) => Err(Error::usage("the timeout is too long for the server")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Durable, Told, durable, millis};
    use crate::command::Command;
    use crate::error::Error;
    use crate::node::NodeAddr;
    use crate::protocol::value::Value;

    fn told(port: u16, reply: Result<i64, Error>) -> Told {
        Told { node: NodeAddr::new("a", port), reply: reply.map(Value::Int) }
    }

    #[test]
    fn what_is_known_of_all_is_the_worst_that_is_known_of_one() {
        let durable = |told| -> Durable<u64> { durable(Vec::new(), told, &Command::new("WAIT")) };
        assert_eq!(durable(Vec::new()).replicas().unwrap(), None);
        let good = durable(vec![told(1, Ok(2)), told(2, Ok(1)), told(1, Ok(3))]);
        assert_eq!(good.replicas().unwrap(), Some(1));
        let of_nodes: Vec<_> =
            good.acknowledged.iter().map(|one| (one.node.port(), *one.by.as_ref().unwrap())).collect();
        assert_eq!(of_nodes, [(1, 2), (2, 1)]);
        assert!(durable(vec![told(1, Ok(2)), told(2, Err(Error::closed()))]).replicas().is_err());
    }

    #[test]
    fn a_timeout_is_a_whole_number_of_milliseconds_and_never_none() {
        assert_eq!(millis(Duration::from_micros(1)).unwrap(), 1);
        assert_eq!(millis(Duration::from_millis(1500)).unwrap(), 1500);
        assert!(millis(Duration::ZERO).is_err());
        assert!(millis(Duration::MAX).is_err());
    }
}
