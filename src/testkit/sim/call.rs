//! [`DataCall`] and [`Call`]: what a command's function is given; [`Answer`]: what it gives back.

use std::time::Duration;

use bytes::Bytes;

use crate::testkit::sim::acknowledgement::Acknowledgement;
use crate::testkit::sim::keyspace::store::Keyspace;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::session::Session;
use crate::testkit::sim::view::NodeIndex;
use crate::testkit::sim::world::World;

/// A command that touches keys of its node and nothing else.
#[derive(Debug)]
pub(super) struct DataCall<'a> {
    /// The name first. There are as many as the arity asks for.
    pub(super) args: &'a [Bytes],
    pub(super) keys: &'a mut Keyspace,
    pub(super) profile: Profile,
    pub(super) rng: &'a mut fastrand::Rng,
    /// The slot where a `SCAN` begins: another one at each node, and after each start.
    pub(super) scans_from: u16,
    /// The key whose change is why a command that waited is called again.
    pub(super) ready: Option<&'a Bytes>,
}

impl DataCall<'_> {
    /// An argument that the arity promises; empty if it is not there.
    pub(super) fn arg(&self, place: usize) -> Bytes {
        self.args.get(place).cloned().unwrap_or_default()
    }

    pub(super) fn int(&self, place: usize) -> Result<i64, Refused> {
        int(&self.arg(place))
    }

    pub(super) fn float(&self, place: usize) -> Result<f64, Refused> {
        float(&self.arg(place))
    }

    /// The arguments from this place on.
    pub(super) fn rest(&self, from: usize) -> &[Bytes] {
        self.args.get(from..).unwrap_or_default()
    }

    /// Whether the argument is this word, in any case of its letters.
    pub(super) fn is(&self, place: usize, word: &str) -> bool {
        self.args.get(place).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// Which of its keys a blocking command may look at. One that waited looked only at the key that had become ready,
    /// before Redis 7.2; since then at all of them in their order.
    pub(super) fn open_to(&self, keys: Vec<Bytes>) -> Vec<Bytes> {
        match self.ready {
            Some(ready) if !self.profile.since_7_2() => vec![ready.clone()],
            Some(_) | None => keys,
        }
    }
}

/// A command that concerns its connection, its node or the cluster.
///
/// The session is out of `world.sessions` meanwhile: what is told to all sessions must be told to it too.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) args: &'a [Bytes],
    pub(super) session: &'a mut Session,
    /// Whom the session is connected to.
    pub(super) node: NodeIndex,
    pub(super) world: &'a mut World,
}

impl<'a> Call<'a> {
    pub(super) fn arg(&self, place: usize) -> Bytes {
        self.args.get(place).cloned().unwrap_or_default()
    }

    pub(super) fn is(&self, place: usize, word: &str) -> bool {
        self.args.get(place).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The arguments from this place on.
    pub(super) fn rest(&self, from: usize) -> &'a [Bytes] {
        self.args.get(from..).unwrap_or_default()
    }

    /// The server that the node behaves as.
    pub(super) fn profile(&self) -> Profile {
        self.world.node(self.node).profile
    }
}

/// A decimal integer, written as a server accepts it: no plus sign, no leading zero, no space.
pub(super) fn int(arg: &[u8]) -> Result<i64, Refused> {
    let number: i64 = std::str::from_utf8(arg)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(Refused::not_an_integer)?;
    if itoa::Buffer::new().format(number).as_bytes() == arg {
        Ok(number)
    } else {
        Err(Refused::not_an_integer())
    }
}

pub(super) fn float(arg: &[u8]) -> Result<f64, Refused> {
    let number: Option<f64> = std::str::from_utf8(arg).ok().and_then(|text| text.parse().ok());
    // Too large a number is none; infinity must be written as such.
    let is_named = || arg.iter().any(|byte| byte.eq_ignore_ascii_case(&b'n'));
    number
        .filter(|number| !number.is_nan() && (number.is_finite() || is_named()))
        .ok_or_else(Refused::not_a_float)
}

/// What became of a command.
#[derive(Debug)]
pub(super) enum Answer {
    Reply(Reply),
    /// It waits. It is called again when one of the keys is written, and may wait again.
    Wait(Wait),
    /// It waits for replicas to have what its connection wrote.
    Acknowledge(Acknowledgement),
}

#[derive(Debug)]
pub(super) struct Wait {
    /// The keys that it waits for.
    pub(super) keys: Vec<Bytes>,
    /// The command as it is called again, if not as it was sent.
    pub(super) args: Option<Vec<Bytes>>,
    /// What `TYPE` must say of a key that was changed: with another type there it waits on, and gives no error.
    pub(super) awaits: &'static str,
    /// How long it waits at most; `None` is for ever.
    pub(super) timeout: Option<Duration>,
    /// The reply when that is over.
    pub(super) on_timeout: Reply,
    /// The reply within a transaction, where nothing waits.
    pub(super) at_once: Reply,
}

impl Wait {
    /// Waits for one of these keys to be of the type `awaits`, with an array as the reply in the end.
    pub(super) fn new(keys: Vec<Bytes>, awaits: &'static str, timeout: Option<Duration>) -> Self {
        Self { keys, args: None, awaits, timeout, on_timeout: Reply::NilArray, at_once: Reply::NilArray }
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// The end of every command's function.
pub(super) type Answered = Result<Answer, Refused>;

/// `Ok` of a reply.
pub(super) fn reply(reply: Reply) -> Answered {
    Ok(Answer::Reply(reply))
}
