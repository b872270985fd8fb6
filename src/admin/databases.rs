//! Nodes that hold keys in several databases, as Valkey 9 may in cluster mode: `MIGRATE` moves those of one only.
//!
//! Source: [INFO keyspace](https://redis.io/docs/latest/commands/info/).

use crate::admin::handle::Admin;
use crate::admin::step::Member;
use crate::command::Command;
use crate::error::{Error, Result};
use crate::protocol::info_text::fields;

/// An error if the node has keys in others than the first: a slot of it would be given up half, and the node would delete
/// what it still has.
pub(super) async fn refuse_several_databases(admin: &Admin, node: &Member) -> Result<()> {
    let info = admin.peer(&node.addr).text(&Command::new("INFO").arg("keyspace")).await?;
    let others: Vec<&str> = others(&info).collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!(
        "{node} has keys in several databases ({}, beside the first), which only CLUSTER MIGRATESLOTS moves: leave the \
         option atomic at true, and close slots that are open (CLUSTER SETSLOT STABLE) first",
        others.join(", ")
    )))
}

/// The names of the databases with keys apart from the first, whatever their number: `db20:keys=3,expires=0,avg_ttl=0`.
fn others(info: &str) -> impl Iterator<Item = &str> {
    fields(info).map(|(name, _)| name).filter(|name| {
        let number = name.strip_prefix("db").filter(|number| !number.is_empty());
        number.is_some_and(|number| number != "0" && number.bytes().all(|digit| digit.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::others;

    #[test]
    fn databases_beside_the_first_are_found_whatever_their_number() {
        let found = |info| others(info).collect::<Vec<&str>>();
        assert!(found("# Keyspace\r\n").is_empty());
        assert!(found("# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\n").is_empty());
        let some = "# Keyspace\r\ndb0:keys=3,expires=0\r\ndb1:keys=1,expires=0\r\ndb20:keys=1,expires=0\r\n";
        assert_eq!(found(some), ["db1", "db20"]);
    }
}
