//! [`LearnedCommands`]: what servers have told of commands that the table does not know, of modules and newer servers.
//!
//! Source: [COMMAND INFO](https://redis.io/docs/latest/commands/command-info/),
//! [COMMAND GETKEYS](https://redis.io/docs/latest/commands/command-getkeys/).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::command::{Command, strange};
use crate::protocol::command_spec::{Access, Blocking, CommandSpec, Keys, RequestPolicy, ResponsePolicy};
use crate::protocol::value::Value;

/// Names that are remembered; no server has as many that the table does not know. More are asked for each time.
const MOST: usize = 4096;

/// What servers have told of commands, by their names in upper case.
#[derive(Debug, Default)]
pub(crate) struct LearnedCommands {
    by_name: Mutex<HashMap<String, Arc<OnceCell<Learned>>>>,
}

/// What is known of a command from its name alone.
#[derive(Debug, Clone)]
pub(super) struct Learned {
    pub(super) spec: Arc<CommandSpec>,
    /// Where its keys are depends on its arguments: a server is asked for each call.
    pub(super) has_movable_keys: bool,
    /// Its subcommands by their words in upper case; each has facts of its own, which the container's say nothing of.
    subcommands: Arc<HashMap<String, Learned>>,
}

impl Learned {
    /// What is known of this call: of its subcommand, if it has one that the server told of.
    pub(super) fn of(&self, command: &Command) -> &Self {
        if self.subcommands.is_empty() {
            return self;
        }
        self.subcommands.get(&upper(command.arg_at(1))).unwrap_or(self)
    }
}

impl LearnedCommands {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<OnceCell<Learned>>>> {
        // Nothing panics while it is held.
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place for what is known of `name`. Who finds it empty asks; others wait for the answer.
    pub(super) fn place(&self, name: &str) -> Arc<OnceCell<Learned>> {
        let mut by_name = self.lock();
        if by_name.len() >= MOST && !by_name.contains_key(name) {
            return Arc::default();
        }
        Arc::clone(by_name.entry(name.to_owned()).or_default())
    }

    /// What is known of it so far, and whether a server is asked for its keys each time.
    pub(crate) fn facts_of(&self, command: &Command) -> Option<(Arc<CommandSpec>, bool)> {
        if !strange(command) {
            return None;
        }
        let by_name = self.lock();
        let learned = by_name.get(&name_of(command))?.get()?.of(command);
        Some((Arc::clone(&learned.spec), learned.has_movable_keys))
    }
}

pub(super) fn name_of(command: &Command) -> String {
    upper(command.arg_at(0))
}

fn upper(word: &[u8]) -> String {
    String::from_utf8_lossy(word).to_ascii_uppercase()
}

/// Reads the one entry of a `COMMAND INFO`: name, arity, flags, first and last key, step, ACL categories, tips, key
/// specifications, subcommands as such entries with names as `container|subcommand`. Redis 6.2 has none of these from tips on.
pub(super) fn learned_of(reply: &Value) -> Option<Learned> {
    let Value::Array(entries) = reply else { return None };
    let Value::Array(entry) = entries.first()? else { return None };
    let mut learned = learned_of_entry(entry)?;
    if let Some(Value::Array(subcommands) | Value::Set(subcommands)) = entry.get(9) {
        let of_each = subcommands.iter().filter_map(|subcommand| {
            let Value::Array(entry) = subcommand else { return None };
            let (_container, word) = entry.first()?.as_str()?.split_once('|')?;
            Some((upper(word.as_bytes()), learned_of_entry(entry)?))
        });
        learned.subcommands = Arc::new(of_each.collect());
    }
    Some(learned)
}

fn learned_of_entry(entry: &[Value]) -> Option<Learned> {
    let words = |place: usize| match entry.get(place) {
        Some(Value::Array(words) | Value::Set(words)) => words.as_slice(),
        Some(_) | None => &[],
    };
    let has_flag = |flag: &str| words(2).iter().any(|word| word.as_str() == Some(flag));
    let number = |place: usize| entry.get(place).and_then(Value::as_int);
    let tip = |name: &str| words(7).iter().filter_map(Value::as_str).find_map(|tip| tip.strip_prefix(name));
    let (first, last, step) = (number(3)?, number(4)?, number(5)?);
    let keys = match (u8::try_from(first), i16::try_from(last), u8::try_from(step)) {
        (Ok(first @ 1..), Ok(last), Ok(step @ 1..)) => Keys::Range { first, last, step },
        _no_fixed_place => Keys::None,
    };
    let access = match (has_flag("readonly"), has_flag("write")) {
        (true, _) => Access::Read,
        (false, true) => Access::Write,
        (false, false) => Access::Neither,
    };
    let spec = CommandSpec {
        name: "it",
        access,
        idempotent: access == Access::Read,
        // The usual place of a timeout, if there is one.
        blocking: if has_flag("blocking") { Blocking::SecondsLast } else { Blocking::Never },
        keys,
        request: match tip("request_policy:") {
            Some("all_nodes") => RequestPolicy::AllNodes,
            Some("all_shards") => RequestPolicy::AllShards,
            Some("multi_shard") => RequestPolicy::MultiShard,
            Some(_) => RequestPolicy::Special,
            None if keys == Keys::None => RequestPolicy::AnyNode,
            None => RequestPolicy::ByKey,
        },
        response: match tip("response_policy:") {
            Some("one_succeeded") => ResponsePolicy::OneSucceeded,
            Some("all_succeeded") => ResponsePolicy::AllSucceeded,
            Some("agg_logical_and") => ResponsePolicy::LogicalAnd,
            Some("agg_logical_or") => ResponsePolicy::LogicalOr,
            Some("agg_min") => ResponsePolicy::Min,
            Some("agg_max") => ResponsePolicy::Max,
            Some("agg_sum") => ResponsePolicy::Sum,
            Some(_) => ResponsePolicy::Special,
            None => ResponsePolicy::Single,
        },
        container: false,
        scripted: false,
    };
    let has_movable_keys = has_flag("movablekeys");
    Some(Learned { spec: Arc::new(spec), has_movable_keys, subcommands: Arc::default() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::learned_of;
    use crate::command::Command;
    use crate::protocol::command_spec::{Access, Keys, RequestPolicy, ResponsePolicy};
    use crate::protocol::value::Value;

    fn text(text: &'static str) -> Value {
        Value::Bulk(Bytes::from_static(text.as_bytes()))
    }

    fn reply(flags: &[&'static str], keys: [i64; 3], tips: &[&'static str]) -> Value {
        let list = |words: &[&'static str]| Value::Array(words.iter().map(|word| text(word)).collect());
        let mut entry = vec![text("mod.cmd"), Value::Int(-2), list(flags)];
        entry.extend(keys.map(Value::Int));
        entry.extend([list(&[]), list(tips)]);
        Value::Array(vec![Value::Array(entry)])
    }

    #[test]
    fn what_a_server_says_of_a_command_is_read() {
        let learned = learned_of(&reply(&["readonly"], [1, -1, 1], &[])).unwrap();
        assert_eq!(learned.spec.access, Access::Read);
        assert_eq!(learned.spec.keys, Keys::Range { first: 1, last: -1, step: 1 });
        assert_eq!(learned.spec.request, RequestPolicy::ByKey);
        assert!(!learned.has_movable_keys);
        let tips = ["request_policy:all_shards", "response_policy:agg_sum"];
        let learned = learned_of(&reply(&["write", "movablekeys"], [0, 0, 0], &tips)).unwrap();
        assert_eq!((learned.spec.access, learned.spec.idempotent), (Access::Write, false));
        assert_eq!(
            (learned.spec.request, learned.spec.response),
            (RequestPolicy::AllShards, ResponsePolicy::Sum)
        );
        assert!(learned.has_movable_keys);
        assert!(learned_of(&Value::Array(vec![Value::Nil])).is_none(), "no server knows it");
        assert!(learned_of(&Value::Nil).is_none());
    }

    #[test]
    fn a_subcommand_has_facts_of_its_own() {
        let entry = |name: &'static str, of: Value| {
            let Value::Array(mut entries) = of else { panic!() };
            let Some(Value::Array(mut entry)) = entries.pop() else { panic!() };
            entry[0] = text(name);
            entry
        };
        let all = ["request_policy:all_shards"];
        let subcommands = vec![
            Value::Array(entry("mod.cmd|get", reply(&["readonly"], [2, 2, 1], &[]))),
            Value::Array(entry("mod.cmd|reset", reply(&["write"], [0, 0, 0], &all))),
            // Told wrongly: it is left out.
            Value::Array(entry("strange", reply(&["readonly"], [2, 2, 1], &[]))),
        ];
        let mut container = entry("mod.cmd", reply(&[], [0, 0, 0], &[]));
        container.extend([Value::Array(Vec::new()), Value::Array(subcommands)]);
        let learned = learned_of(&Value::Array(vec![Value::Array(container)])).unwrap();
        let of = |line: &'static str| {
            let spec = &learned.of(&Command::new(line)).spec;
            (spec.access, spec.keys, spec.request)
        };
        let key = Keys::Range { first: 2, last: 2, step: 1 };
        assert_eq!(of("MOD.CMD Get k"), (Access::Read, key, RequestPolicy::ByKey));
        assert_eq!(of("mod.cmd RESET"), (Access::Write, Keys::None, RequestPolicy::AllShards));
        for other in ["MOD.CMD", "MOD.CMD OTHER k", "MOD.CMD strange k"] {
            assert_eq!(of(other), (Access::Neither, Keys::None, RequestPolicy::AnyNode), "{other}");
        }
    }
}
