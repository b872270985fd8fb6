//! [`Command`]: one request, encoded once, with its slot and the facts that decide its way.

pub(crate) mod cut;
pub(crate) mod draft;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::config::read_from::ReadFrom;
use crate::node::NodeAddr;
use crate::protocol::body::Body;
use crate::protocol::command_spec::{
    Access, BlockTimeout, Blocking, CommandSpec, Known, RequestPolicy, ResponsePolicy, lookup, lookup_sub,
};
use crate::protocol::to_arg::{ArgWriter, ToArg};
use crate::slot::Slot;

/// Where a command goes when its keys do not say it.
///
/// ```
/// # use keyslot::testkit::SimCluster;
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = SimCluster::builder().replicas(1).start_in_memory()?;
/// # let client = keyslot::Client::builder().url(&cluster.url()).connector(cluster.connector()).connect().await?;
/// use keyslot::{Commands, Target};
///
/// client.set("k", "v").await?;
/// assert_eq!(client.dbsize().await?, 1); // all primaries, summed: the servers' policy
/// assert_eq!(client.dbsize().to(Target::SlotOf("k".into())).await?, 1); // the one that serves k
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Target {
    /// Every primary; the replies are put together by the command's response policy.
    AllPrimaries,
    /// Every node, replicas included.
    AllNodes,
    /// This node, whatever it is. A redirect from it is followed.
    Node(NodeAddr),
    /// The primary that serves the slot of this key.
    SlotOf(Bytes),
    /// Any one primary.
    Random,
}

/// One command with its arguments.
///
/// The typed methods of [`Commands`](crate::Commands) build these; by hand it is for commands that have none:
///
/// ```
/// use keyslot::Command;
///
/// let command = Command::new("GEOPOS").key("places").arg("Rome").arg("Oslo");
/// assert_eq!(command.name(), "GEOPOS");
/// ```
///
/// For commands that the crate's table knows, [`arg`](Self::arg) alone is enough: the table says which arguments are
/// keys. For others (modules, newer servers) [`key`](Self::key) marks the key that the command is routed by; without
/// one it goes to any primary.
#[derive(Clone, Debug)]
pub struct Command {
    name: Cow<'static, str>,
    spec: Option<&'static CommandSpec>,
    body: Body,
    keys: Keys,
    /// Boxed because it is rare and a command is moved often.
    settings: Option<Box<Settings>>,
}

/// What a caller has said about one command.
#[derive(Clone, Debug, Default)]
struct Settings {
    target: Option<Target>,
    timeout: Option<Duration>,
    read_from: Option<ReadFrom>,
    /// What a server has told of a command that the table does not know.
    learned: Option<Arc<CommandSpec>>,
    idempotent: bool,
}

/// The slots of the keys that were marked by [`Command::key`]. Small, as all of a command: thousands wait at a time, each in memory
/// that was not looked at for long when its reply comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// No argument was marked: the table says where the keys are, if there are any.
    Unmarked,
    /// All marked keys are in this slot; the first of them is the argument at `first`.
    Same { slot: Slot, first: u32 },
    /// The keys at these two arguments are in different slots.
    Crossing { first: u32, other: u32 },
}

impl Keys {
    /// With the key at `place`, which is in `slot`.
    #[inline]
    pub(crate) fn and(self, place: usize, slot: Slot) -> Self {
        // No command has more arguments than a server can count.
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        match self {
            Self::Unmarked => Self::Same { slot, first: place },
            Self::Same { slot: same, first } if same != slot => Self::Crossing { first, other: place },
            settled @ (Self::Same { .. } | Self::Crossing { .. }) => settled,
        }
    }
}

impl Command {
    /// A command without arguments. Subcommands may be part of the name, as in `"CLUSTER COUNTKEYSINSLOT"`.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        let mut body = Body::default();
        // One word, as most names are; the look-up finds no others.
        let mut spec = lookup(name.as_bytes());
        if spec.is_some() {
            body.push(name.as_bytes());
        } else {
            for (place, word) in name.split_ascii_whitespace().enumerate() {
                body.push(word.as_bytes());
                spec = match (place, spec) {
                    (0, _) => lookup(word.as_bytes()),
                    (1, Some(CommandSpec { container: true, name, .. })) => {
                        lookup_sub(name.as_bytes(), word.as_bytes()).or(spec)
                    }
                    (_, found) => found,
                };
            }
        }
        Self { name, spec, body, keys: Keys::Unmarked, settings: None }
    }

    /// A command that this crate names itself, without its arguments.
    #[inline]
    pub(crate) fn known(known: &'static Known) -> Self {
        let Known { name, spec, start, length, args } = known;
        let body = Body::begun(start, *length, *args);
        Self { name: Cow::Borrowed(name), spec: Some(spec), body, keys: Keys::Unmarked, settings: None }
    }

    /// Takes the command; only its name stays.
    pub(crate) fn take(&mut self) -> Self {
        let husk = Self {
            name: self.shared_name(),
            spec: self.spec,
            body: Body::default(),
            keys: Keys::Unmarked,
            settings: None,
        };
        std::mem::replace(self, husk)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl ToArg) -> Self {
        self.push_arg(arg);
        self
    }

    #[inline]
    pub(crate) fn push_arg(&mut self, arg: impl ToArg) {
        arg.write_arg(ArgWriter::value(&mut self.body));
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: ToArg>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().for_each(|arg| self.push_arg(arg));
        self
    }

    /// Adds an argument that is a key: its slot decides which node the command goes to.
    #[must_use]
    pub fn key(mut self, key: impl ToArg) -> Self {
        self.push_key(key);
        self
    }

    /// Adds several keys. Commands such as `MGET` may name keys of different slots; the client splits them.
    #[must_use]
    pub fn keys<K: ToArg>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.push_keys(keys);
        self
    }

    pub(crate) fn push_keys<K: ToArg>(&mut self, keys: impl IntoIterator<Item = K>) {
        let keys = keys.into_iter();
        self.body.expect(keys.size_hint().0);
        keys.for_each(|key| self.push_key(key));
    }

    /// Adds pairs of a key and its value, as `MSET` takes them.
    #[must_use]
    pub fn key_values<K: ToArg, V: ToArg>(mut self, pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        self.push_key_values(pairs);
        self
    }

    pub(crate) fn push_key_values<K: ToArg, V: ToArg>(&mut self, pairs: impl IntoIterator<Item = (K, V)>) {
        let pairs = pairs.into_iter();
        self.body.expect(2 * pairs.size_hint().0);
        for (key, value) in pairs {
            self.push_key(key);
            self.push_arg(value);
        }
    }

    /// Adds a key and two arguments each, as `JSON.MSET` takes them.
    #[cfg(feature = "json")]
    pub(crate) fn key_pairs<K: ToArg, A: ToArg, B: ToArg>(
        self,
        triples: impl IntoIterator<Item = (K, A, B)>,
    ) -> Self {
        triples.into_iter().fold(self, |command, (key, a, b)| command.key(key).arg(a).arg(b))
    }

    /// Sends the command to the primary of `slot`, as if it had a key there.
    pub(crate) fn set_slot(&mut self, slot: Slot) {
        self.keys = Keys::Unmarked.and(self.body.args(), slot);
    }

    #[inline]
    pub(crate) fn push_key(&mut self, key: impl ToArg) {
        // Keys of two slots settle it: the command is split by the slots of all or refused, and either looks at all.
        if matches!(self.keys, Keys::Crossing { .. }) {
            self.push_arg(key);
            return;
        }
        let place = self.body.args();
        let Some(slot) = key.write_arg(ArgWriter::key(&mut self.body)).slot() else { return };
        self.keys = self.keys.and(place, slot);
    }

    /// Sends the command to `target` instead of where its keys and its policy say.
    #[must_use]
    pub fn to(mut self, target: Target) -> Self {
        self.settings().target = Some(target);
        self
    }

    /// The deadline of this command, in place of the client's
    /// [`command_timeout`](crate::ClientBuilder::command_timeout): from the first poll to the reply, over queueing,
    /// redirects, retries and reconnects.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings().timeout = Some(timeout);
        self
    }

    /// Which nodes may answer it, in place of the client's [`read_from`](crate::ClientBuilder::read_from). Of no effect on a
    /// command that does more than read the keys of one slot.
    #[must_use]
    pub fn read_from(mut self, policy: ReadFrom) -> Self {
        self.settings().read_from = Some(policy);
        self
    }

    /// Says that executing the command twice does no harm, so that the client may send it again when its connection
    /// died after the write. Read-only commands and those like `SET` are known to be so; scripts are not.
    ///
    /// A connection that is given up is reset, so that a copy which did not leave this machine never arrives. One that is held
    /// on its way, by a proxy for instance, may still be executed after the repetition, and after what the caller sent since:
    /// "no harm" includes that.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.settings().idempotent = true;
        self
    }

    fn settings(&mut self) -> &mut Settings {
        self.settings.get_or_insert_default()
    }

    /// The name that it was made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> Cow<'static, str> {
        self.name.clone()
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    pub(crate) fn marked_keys(&self) -> Keys {
        self.keys
    }

    pub(crate) fn target(&self) -> Option<&Target> {
        self.settings.as_ref()?.target.as_ref()
    }

    pub(crate) fn own_timeout(&self) -> Option<Duration> {
        self.settings.as_ref()?.timeout
    }

    pub(crate) fn own_read_from(&self) -> Option<&ReadFrom> {
        self.settings.as_ref()?.read_from.as_ref()
    }

    /// Whether it only reads and never waits, so that a replica may answer it.
    #[inline]
    pub(crate) fn only_reads(&self) -> bool {
        self.spec().is_some_and(|spec| spec.access == Access::Read && spec.blocking == Blocking::Never)
    }

    /// Whether it reads several keys and makes one of them (a union, a count), so that nobody can tell by its reply that one was
    /// missing.
    pub(crate) fn hides_missing_keys(&self) -> bool {
        self.spec().is_some_and(|spec| {
            let answers_each =
                spec.request == RequestPolicy::MultiShard && spec.response == ResponsePolicy::Single;
            let keys = spec.key_positions(self.body.args(), |place| self.arg_at(place));
            !answers_each && keys.is_ok_and(|keys| keys.len() > 1)
        })
    }

    /// Whether it has a target, a policy or a time of its own. The link's clock is set for the client's time; the executor has one
    /// for shorter ones.
    #[inline]
    pub(crate) fn has_its_own_way(&self) -> bool {
        self.settings
            .as_ref()
            .is_some_and(|own| own.target.is_some() || own.timeout.is_some() || own.read_from.is_some())
    }

    /// The slot, if marked keys have settled it.
    #[inline]
    pub(crate) fn marked_slot(&self) -> Option<Slot> {
        match self.keys {
            Keys::Same { slot, .. } => Some(slot),
            Keys::Unmarked | Keys::Crossing { .. } => None,
        }
    }

    /// The argument at `place`; 0 is the command's name.
    pub(crate) fn arg_at(&self, place: usize) -> &[u8] {
        self.body.iter().nth(place).unwrap_or_default()
    }

    /// The table's facts of the name as it was given to [`Command::new`]; cheap.
    #[inline]
    pub(crate) fn named_spec(&self) -> Option<&'static CommandSpec> {
        self.spec
    }

    /// The table's facts, those of the subcommand if its word came as an argument.
    pub(crate) fn spec(&self) -> Option<&CommandSpec> {
        match self.spec {
            None => self.settings.as_ref()?.learned.as_deref(),
            Some(CommandSpec { container: true, name, .. }) => {
                lookup_sub(name.as_bytes(), self.arg_at(1)).or(self.spec)
            }
            spec => spec,
        }
    }

    /// Takes what a server has told of it.
    pub(crate) fn learn(&mut self, spec: Arc<CommandSpec>) {
        self.settings().learned = Some(spec);
    }

    /// Marks these as its keys, wherever they are among the arguments.
    pub(crate) fn mark_keys<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) {
        for key in keys {
            let place = self.body.iter().position(|arg| arg == key).unwrap_or_default();
            self.keys = self.keys.and(place, Slot::of_key(key));
        }
    }

    /// Whether sending it once more after it may have been executed does no harm.
    pub(crate) fn may_repeat(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.idempotent)
            || self.spec().is_some_and(|spec| match spec.access {
                Access::Read => true,
                Access::Write | Access::Neither => {
                    let args: Vec<&[u8]> = self.body.iter().collect();
                    spec.repeat_is_safe(args.len(), |place| args.get(place).copied().unwrap_or_default())
                }
            })
    }

    /// Whether replicas may have something to acknowledge after it.
    pub(crate) fn may_write(&self) -> bool {
        self.spec().is_none_or(|spec| spec.access == Access::Write)
    }

    /// How long the server may hold back the reply.
    pub(crate) fn block_timeout(&self) -> BlockTimeout {
        let Some(spec) = self.spec() else { return BlockTimeout::NotBlocking };
        match spec.blocking {
            Blocking::Never | Blocking::Stream | Blocking::Session | Blocking::OwnWrites => {
                BlockTimeout::NotBlocking
            }
            Blocking::SecondsLast | Blocking::SecondsFirst | Blocking::MillisOption => {
                let args: Vec<&[u8]> = self.body.iter().collect();
                let timeout =
                    spec.block_timeout(args.len(), |place| args.get(place).copied().unwrap_or_default());
                // Where another command has its timeout, nobody knows; that it may block, a server has told.
                let unread =
                    if self.spec.is_some() { BlockTimeout::NotBlocking } else { BlockTimeout::Forever };
                timeout.unwrap_or(unread)
            }
        }
    }

    /// Whether its reply may be of any form: a script's, or that of a command which the table does not know.
    #[inline]
    pub(crate) fn answers_anything(&self) -> bool {
        self.spec.is_none_or(|spec| spec.scripted)
    }

    /// Whether an error reply may come after some writes were done (scripts and functions).
    pub(crate) fn is_scripted(&self) -> bool {
        self.spec().is_some_and(|spec| spec.scripted)
    }

    /// The slot, if the command goes there and nothing but its marked keys decides that.
    #[inline]
    pub(crate) fn plain_slot(&self) -> Option<Slot> {
        let is_plain = self.target().is_none()
            && self.spec.is_none_or(|spec| !spec.container && spec.blocking == Blocking::Never);
        if is_plain { self.marked_slot() } else { None }
    }

    /// Whether the server may hold back the reply.
    #[inline]
    pub(crate) fn blocks(&self) -> bool {
        let may = match self.spec {
            Some(spec) => spec.blocking != Blocking::Never,
            // Only what was learned of it, if anything was.
            None => self.settings.is_some(),
        };
        may && self.block_timeout() != BlockTimeout::NotBlocking
    }
}

/// Whether nobody has said yet where its keys are: the table does not know it, and the caller has marked none.
#[inline]
pub(crate) fn strange(command: &Command) -> bool {
    command.spec.is_none()
        && command.keys == Keys::Unmarked
        && command.target().is_none()
        && command.spec().is_none()
}

#[cfg(test)]
mod tests {
    use super::{Command, Keys};
    use crate::slot::Slot;

    #[test]
    fn marked_keys_settle_the_slot() {
        let command = Command::new("MGET").key("{a}1").key("{a}2");
        assert_eq!(command.marked_keys(), Keys::Same { slot: Slot::of_key(b"a"), first: 1 });
        assert_eq!(command.key("b").marked_keys(), Keys::Crossing { first: 1, other: 3 });
        assert_eq!(Command::new("PING").marked_slot(), None);
    }

    #[test]
    fn a_subcommand_has_its_own_facts_whether_it_is_part_of_the_name_or_an_argument() {
        let one = Command::new("OBJECT ENCODING").key("k");
        let two = Command::new("object").arg("encoding").key("k");
        assert_eq!(one.spec().unwrap().name, "OBJECT|ENCODING");
        assert_eq!(two.spec().unwrap().name, "OBJECT|ENCODING");
        assert!(one.body().iter().eq([&b"OBJECT"[..], b"ENCODING", b"k"]));
    }

    #[test]
    fn repeating_is_safe_for_reads_and_for_writes_that_say_so() {
        assert!(Command::new("GET").key("k").may_repeat());
        assert!(Command::new("SET").key("k").arg("v").may_repeat());
        assert!(!Command::new("SET").key("k").arg("v").arg("NX").may_repeat());
        assert!(!Command::new("INCR").key("k").may_repeat());
        assert!(!Command::new("NO.SUCH").key("k").may_repeat());
        assert!(Command::new("EVAL").arg("return 1").arg(0).idempotent().may_repeat());
    }
}
