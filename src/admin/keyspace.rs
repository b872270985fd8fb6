//! How many keys a node holds in all of its databases: Valkey 9 may have several in cluster mode, and `DBSIZE` is of the
//! first one.
//!
//! Source: [INFO keyspace](https://redis.io/docs/latest/commands/info/).

use crate::admin::handle::Admin;
use crate::command::Command;
use crate::error::Result;
use crate::node::NodeAddr;
use crate::protocol::info_text::fields;

/// Asks the node.
pub(super) async fn keys_held(admin: &Admin, addr: &NodeAddr) -> Result<u64> {
    let info = admin.peer(addr).text(&Command::new("INFO").arg("keyspace")).await?;
    Ok(keys_told(&info))
}

/// The sum of the lines `db0:keys=3,expires=0,avg_ttl=0`; a database without keys has none.
fn keys_told(info: &str) -> u64 {
    let databases = fields(info).filter(|(name, _)| name.starts_with("db"));
    let keys = databases.filter_map(|(_, told)| told.split(',').find_map(|part| part.strip_prefix("keys=")));
    keys.filter_map(|keys| keys.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::keys_told;

    #[test]
    fn keys_of_all_databases_are_counted() {
        assert_eq!(keys_told("# Keyspace\r\n"), 0);
        let two = "# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\ndb12:keys=40,expires=0,avg_ttl=0,subexpiry=0\r\n";
        assert_eq!(keys_told(two), 43);
    }
}
