//! Users and their rights are each node's own, so a new node knows none of them.
//!
//! Source: [ACL LIST](https://redis.io/docs/latest/commands/acl-list/),
//! [ACL SETUSER](https://redis.io/docs/latest/commands/acl-setuser/),
//! [ACL SAVE](https://redis.io/docs/latest/commands/acl-save/).

use std::collections::BTreeSet;

use crate::admin::handle::Admin;
use crate::admin::peer::Peer;
use crate::admin::step::Member;
use crate::command::Command;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::protocol::server_error::ServerError;
use crate::protocol::value::Value;

/// A user as `ACL LIST` tells it. Holds hashes of passwords, so it cannot be shown.
struct User {
    name: String,
    rules: Vec<String>,
}

impl User {
    /// `user <name> <rule> <rule> ...`, as in a file of users.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        if words.next()? != "user" {
            return None;
        }
        let name = words.next()?.to_owned();
        // What `reset` gives, and what a user has of whom Redis before 8 says nothing.
        let rules = words.filter(|rule| *rule != "sanitize-payload").map(str::to_owned).collect();
        Some(Self { name, rules })
    }

    /// What it may, in one order for all servers: Redis before 8 lists the same commands of a user in another order at
    /// each node.
    fn rights(&self) -> (String, Vec<String>) {
        let word = |rule: &String| rule.trim_matches(['(', ')']).to_owned();
        let mut words: Vec<String> = self.rules.iter().map(word).collect();
        words.sort_unstable();
        (self.name.clone(), words)
    }

    /// Sets it anew in one step, whatever it was.
    fn order(&self) -> Command {
        let rules = self.rules.iter().map(String::as_str);
        Command::new("ACL SETUSER").arg(self.name.as_str()).arg("reset").args(rules)
    }
}

/// Gives one node the users of another, with their rights and the hashes of their passwords. Those that only `to` has
/// stay. Kept in the node's file of users if it has one.
pub(super) async fn copy_users(admin: &Admin, from: &Member, to: &Member) -> Result<()> {
    let wanted = users(&admin.peer(&from.addr)).await?;
    let target = admin.peer(&to.addr);
    // All at once: between two of them a connection that was lost might not get in again.
    let orders: Vec<Command> = wanted.iter().map(User::order).collect();
    for (user, reply) in wanted.iter().zip(target.ask_all(&orders).await) {
        if let Value::Error(error) = reply? {
            return Err(refused(&format!("user {} of {from}", user.name), &error, to));
        }
    }
    let has: BTreeSet<_> = users(&target).await?.iter().map(User::rights).collect();
    let others: Vec<&str> =
        wanted.iter().filter(|user| !has.contains(&user.rights())).map(|user| user.name.as_str()).collect();
    if !others.is_empty() {
        let text = format!("these users are not the same at {from} and {to}: {}", others.join(", "));
        return Err(Error::new(ErrorKind::Server, Outcome::Rejected, text).with_node(to.addr.clone()));
    }
    match target.ask(&Command::new("ACL SAVE")).await? {
        // Without a file of users it lives as long as its process.
        Value::Error(error) if !error.text().contains("not configured to use an ACL file") => {
            Err(refused("the file of users", &error, to))
        }
        _saved_or_no_file => Ok(()),
    }
}

async fn users(peer: &Peer) -> Result<Vec<User>> {
    let list = Command::new("ACL LIST");
    let lines = peer.strings(&list).await?;
    let read = lines.iter().map(|line| User::read(std::str::from_utf8(line).ok()?));
    let read: Option<Vec<User>> = read.collect();
    read.ok_or_else(|| peer.unexpected(&list, &Value::Nil))
}

/// The server repeats the rule that it does not take; passwords are none of anybody's business.
fn refused(what: &str, error: &ServerError, to: &Member) -> Error {
    let hidden =
        error.text().split(' ').map(|word| if word.contains(['#', '>', '<', '!']) { "***" } else { word });
    let text = format!("{to} does not take {what}: {}", hidden.collect::<Vec<_>>().join(" "));
    Error::new(ErrorKind::Server, Outcome::Rejected, text).with_code(error.code()).with_node(to.addr.clone())
}

#[cfg(test)]
mod tests {
    use super::{User, refused};
    use crate::admin::step::Member;
    use crate::node::NodeAddr;
    use crate::protocol::server_error::ServerError;

    #[test]
    fn a_user_is_read_with_all_of_its_rules() {
        let user = User::read("user ann on sanitize-payload #5e88 ~a:* &* -@all +get (~b:* +set)").unwrap();
        assert_eq!(user.name, "ann");
        assert_eq!(user.rules, ["on", "#5e88", "~a:*", "&*", "-@all", "+get", "(~b:*", "+set)"]);
        assert!(User::read("ann on nopass").is_none() && User::read("").is_none());
    }

    #[test]
    fn the_order_of_its_commands_makes_no_other_user() {
        let rights = |line| User::read(line).unwrap().rights();
        assert_eq!(
            rights("user a on -@all +get (~b +set +del)"),
            rights("user a on -@all +get (~b +del +set)")
        );
        assert_ne!(rights("user a on -@all +get"), rights("user a on -@all +set"));
        assert_ne!(rights("user a on nopass"), rights("user b on nopass"));
    }

    #[test]
    fn an_error_does_not_tell_a_password() {
        let to = Member { id: "b".into(), addr: NodeAddr::new("h", 1) };
        let error = ServerError::new("ERR Error in ACL SETUSER modifier '#5e88': Syntax error");
        let text = refused("user ann", &error, &to).to_string();
        assert!(!text.contains("5e88") && text.contains("Syntax error"), "{text}");
    }
}
