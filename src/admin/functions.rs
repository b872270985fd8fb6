//! Functions are known to the shard on which they were loaded, so a new primary knows none.
//!
//! Source: [FUNCTION DUMP](https://redis.io/docs/latest/commands/function-dump/),
//! [FUNCTION RESTORE](https://redis.io/docs/latest/commands/function-restore/).

use crate::admin::handle::Admin;
use crate::admin::step::Member;
use crate::command::Command;
use crate::error::Result;
use crate::protocol::value::Value;

/// Loads what one primary has into another that has none of these. Servers before 7.0 have no functions.
pub(super) async fn copy_functions(admin: &Admin, from: &Member, to: &Member) -> Result<()> {
    let source = admin.peer(&from.addr);
    let dump = Command::new("FUNCTION DUMP");
    let functions = match source.ask(&dump).await? {
        Value::Bulk(functions) => functions,
        Value::Error(error) if error.code() == "ERR" => return Ok(()),
        Value::Error(error) => return Err(source.refused(&dump, &error)),
        other => return Err(source.unexpected(&dump, &other)),
    };
    // Replaces those of the same name: of an attempt before, or older.
    let restore = Command::new("FUNCTION RESTORE").arg(functions).arg("REPLACE");
    admin.peer(&to.addr).order(&restore).await.map(drop)
}
