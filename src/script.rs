//! [`Script`]: a Lua script that is sent by its checksum where a node knows it, and as a whole where it does not.

mod run;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sha1_smol::Sha1;

use crate::command::Command;
use crate::command::draft::known;
use crate::error::Error;
use crate::protocol::to_arg::ToArg;

/// A script in Lua, with its checksum.
///
/// ```no_run
/// # async fn example(client: keyslot::Client) -> keyslot::Result<()> {
/// use keyslot::Script;
///
/// let limited = Script::new(
///     "local n = redis.call('INCR', KEYS[1])
///      if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
///      return n <= tonumber(ARGV[2])",
/// );
/// let allowed: bool = limited.key("{user:1}:requests").arg(60_000).arg(100).run(&client).await?;
/// # Ok(())
/// # }
/// ```
///
/// # How it is sent
///
/// By `EVALSHA`: 40 bytes in place of the source. A node that does not know it answers `NOSCRIPT`, has then executed
/// nothing, and is sent the source by `EVAL`, by which it learns it. That is so for each node: a script is not known to a node
/// that was added later, and from 7.0 on not to a replica that was promoted. [`Script::load`] spares the second round trip.
///
/// All keys must be given as keys, and be in one slot. A script is never sent again by itself once it may have been
/// executed, unless it is marked as [`idempotent`](Self::idempotent) or [`read_only`](Self::read_only).
///
/// Source: [scripting with Lua](https://redis.io/docs/latest/develop/programmability/eval-intro/).
#[derive(Clone)]
pub struct Script {
    source: Bytes,
    sha1: String,
    is_read_only: bool,
    is_idempotent: bool,
}

/// How a call is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Checksum,
    Source,
    /// By commands that a replica takes too; since 7.0.
    ReadOnlyChecksum,
    ReadOnlySource,
}

impl Script {
    /// A script of this source. Nothing is sent.
    #[must_use]
    pub fn new(source: impl AsRef<[u8]>) -> Self {
        let source = Bytes::copy_from_slice(source.as_ref());
        let sha1 = Sha1::from(&source).digest().to_string();
        Self { source, sha1, is_read_only: false, is_idempotent: false }
    }

    /// Says that it writes nothing: it is sent by `EVALSHA_RO` and `EVAL_RO`, where a write is an error, and may be sent
    /// again whatever happens. Redis 6.2, which does not know these commands, is sent the usual ones.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.is_read_only = true;
        self
    }

    /// Says that executing it twice does no harm; see [`Command::idempotent`].
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.is_idempotent = true;
        self
    }

    /// The SHA-1 checksum of the source, in hexadecimal digits: what `EVALSHA` takes.
    #[must_use]
    pub fn sha1(&self) -> &str {
        &self.sha1
    }

    /// A call without keys and arguments yet. Without a key it is executed by any primary.
    #[must_use]
    pub fn call(&self) -> ScriptCall<'_> {
        ScriptCall { script: self, keys: Vec::new(), args: Vec::new(), timeout: None }
    }

    /// A call with this key: the first in `KEYS`.
    #[must_use]
    pub fn key(&self, key: impl ToArg) -> ScriptCall<'_> {
        self.call().key(key)
    }

    /// A call with this argument: the first in `ARGV`.
    #[must_use]
    pub fn arg(&self, arg: impl ToArg) -> ScriptCall<'_> {
        self.call().arg(arg)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("sha1", &self.sha1).finish_non_exhaustive()
    }
}

/// A [`Script`] with the keys and arguments of one call.
#[derive(Clone)]
pub struct ScriptCall<'a> {
    script: &'a Script,
    keys: Vec<Bytes>,
    args: Vec<Bytes>,
    timeout: Option<Duration>,
}

impl ScriptCall<'_> {
    /// Adds a key: the next in `KEYS`. All keys must be in one slot.
    #[must_use]
    pub fn key(mut self, key: impl ToArg) -> Self {
        self.keys.push(bytes_of(key));
        self
    }

    /// Adds several keys.
    #[must_use]
    pub fn keys<K: ToArg>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.keys.extend(keys.into_iter().map(bytes_of));
        self
    }

    /// Adds an argument: the next in `ARGV`.
    #[must_use]
    pub fn arg(mut self, arg: impl ToArg) -> Self {
        self.args.push(bytes_of(arg));
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: ToArg>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(bytes_of));
        self
    }

    /// The deadline of the call, `EVAL` included, in place of the client's. In a pipeline that of the run counts instead.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The call with the whole source, by `EVAL`: for transactions and sessions, where a refusal comes too late for a
    /// second try. A pipeline has [`Pipeline::script`](crate::Pipeline::script).
    #[must_use]
    pub fn command(&self) -> Command {
        self.in_form(Form::Source)
    }

    /// What a pipeline sends, and what if that is refused. `lacks_read_only`: the servers are known to have no commands for
    /// scripts that only read.
    pub(crate) fn for_pipeline(&self, lacks_read_only: bool) -> (Command, Again) {
        let usual = self.in_form(Form::Source);
        if self.script.is_read_only && !lacks_read_only {
            let source = self.in_form(Form::ReadOnlySource);
            (self.in_form(Form::ReadOnlyChecksum), Again { source, usual: Some(usual) })
        } else {
            (self.in_form(Form::Checksum), Again { source: usual, usual: None })
        }
    }

    fn in_form(&self, form: Form) -> Command {
        let Self { script: Script { source, sha1, is_read_only, is_idempotent }, keys, args, timeout } = self;
        let mut command: Command = match form {
            Form::Checksum => known!("EVALSHA").arg(sha1).into(),
            Form::Source => known!("EVAL").arg(source).into(),
            Form::ReadOnlyChecksum => known!("EVALSHA_RO").arg(sha1).into(),
            Form::ReadOnlySource => known!("EVAL_RO").arg(source).into(),
        };
        command = command.arg(keys.len()).keys(keys).args(args);
        if let Some(timeout) = timeout {
            command = command.timeout(*timeout);
        }
        if *is_read_only || *is_idempotent { command.idempotent() } else { command }
    }
}

impl fmt::Debug for ScriptCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptCall")
            .field("script", &self.script)
            .field("keys", &self.keys.len())
            .field("args", &self.args.len())
            .finish_non_exhaustive()
    }
}

/// What to send of a call by checksum that was refused because the node knows too little.
#[derive(Debug)]
pub(crate) struct Again {
    /// Where it does not know the script.
    pub(crate) source: Command,
    /// Where it does not know the command for scripts that only read.
    pub(crate) usual: Option<Command>,
}

/// Whether the server has no command of this name.
pub(crate) fn is_no_command(error: &Error, name: &str) -> bool {
    let text = error.to_string();
    // Redis 6.2 quotes it one way, all later servers the other.
    [format!("unknown command `{name}`"), format!("unknown command '{name}'")]
        .iter()
        .any(|said| text.contains(said))
}

/// Whether the node has not executed the script because it does not know it.
pub(crate) fn is_not_known(error: &Error) -> bool {
    error.code() == Some("NOSCRIPT")
}

fn bytes_of(arg: impl ToArg) -> Bytes {
    Bytes::copy_from_slice(Command::from(known!("ECHO").arg(arg)).arg_at(1))
}

#[cfg(test)]
mod tests {
    use super::{Form, Script};

    fn words(form: Form) -> Vec<String> {
        let script = Script::new("return 1");
        let call = script.key("{a}1").keys(["{a}2"]).arg(7).args(["x"]);
        call.in_form(form).body().iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    #[test]
    fn a_call_has_the_checksum_or_the_source_and_its_keys_and_arguments() {
        let sha1 = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
        assert_eq!(words(Form::Checksum), ["EVALSHA", sha1, "2", "{a}1", "{a}2", "7", "x"]);
        assert_eq!(words(Form::Source), ["EVAL", "return 1", "2", "{a}1", "{a}2", "7", "x"]);
        assert_eq!(words(Form::ReadOnlyChecksum)[..2], ["EVALSHA_RO", sha1]);
        assert_eq!(words(Form::ReadOnlySource)[..2], ["EVAL_RO", "return 1"]);
    }

    #[test]
    fn only_what_is_marked_may_be_repeated() {
        let script = Script::new("return 1");
        assert!(!script.call().command().may_repeat());
        assert!(script.clone().idempotent().call().command().may_repeat());
        assert!(script.read_only().call().for_pipeline(false).0.may_repeat());
    }
}
