//! [`TestLine`]: runs command lines on a keyspace of its own, for the tests that stand beside the commands.

use bytes::{Bytes, BytesMut};

use crate::testkit::sim::call::{Answer, DataCall};
use crate::testkit::sim::introspection;
use crate::testkit::sim::keyspace::store::Keyspace;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::{Reply, Resp};
use crate::testkit::sim::spec::Run;

/// A keyspace with a command line; no connection, no cluster.
///
/// ```ignore
/// let mut server = TestLine::new(Profile::Redis82);
/// assert_eq!(server.run("SET k \"a b\""), "+OK|");
/// assert_eq!(server.run("GET k"), "$3|a b|");
/// ```
#[derive(Debug)]
pub(in crate::testkit::sim) struct TestLine {
    keys: Keyspace,
    profile: Profile,
    rng: fastrand::Rng,
    now: u64,
}

impl TestLine {
    pub(in crate::testkit::sim) fn new(profile: Profile) -> Self {
        Self { keys: Keyspace::default(), profile, rng: fastrand::Rng::with_seed(0), now: 1_000_000 }
    }

    /// Every profile's own.
    pub(in crate::testkit::sim) fn each() -> impl Iterator<Item = Self> {
        Profile::ALL.into_iter().map(Self::new)
    }

    pub(in crate::testkit::sim) fn profile(&self) -> Profile {
        self.profile
    }

    pub(in crate::testkit::sim) fn keys(&mut self) -> &mut Keyspace {
        &mut self.keys
    }

    /// Lets so many milliseconds pass. It begins at 1000000 ms of Unix time.
    pub(in crate::testkit::sim) fn pass(&mut self, millis: u64) {
        self.now += millis;
    }

    /// The RESP2 bytes of the reply, each line end as `|`, other unprintable bytes escaped as in Rust.
    ///
    /// A word of the line may stand in double quotes, where `\n`, `\\`, `\"` and `\x00` mean what they say.
    /// A command that waits gives `waits for a,b` and its timeout.
    pub(in crate::testkit::sim) fn run(&mut self, line: &str) -> String {
        self.encoded(line, Resp::Two)
    }

    /// As [`TestLine::run`], in RESP3.
    pub(in crate::testkit::sim) fn run3(&mut self, line: &str) -> String {
        self.encoded(line, Resp::Three)
    }

    /// Runs the line; whether it has noted a change of any key.
    pub(in crate::testkit::sim) fn changes(&mut self, line: &str) -> bool {
        self.keys.take_changes();
        self.run(line);
        !self.keys.take_changes().is_empty()
    }

    fn encoded(&mut self, line: &str, resp: Resp) -> String {
        let reply = match self.call(&words(line)) {
            Ok(Answer::Reply(reply)) => reply,
            Err(refused) => Reply::Error(refused.0),
            Ok(Answer::Acknowledge(_)) => return "waits for replicas".to_owned(),
            Ok(Answer::Wait(wait)) => {
                let keys: Vec<_> = wait.keys.iter().map(|key| String::from_utf8_lossy(key)).collect();
                return format!("waits for {} {:?}", keys.join(","), wait.timeout);
            }
        };
        let mut out = BytesMut::new();
        reply.encode(resp, &mut out);
        shown(&out)
    }

    fn call(&mut self, args: &[Bytes]) -> Result<Answer, Refused> {
        let spec = introspection::look_up(args, self.profile)?;
        self.keys.begin(self.now, true);
        let Run::Data(function) = spec.run else { return Err(Refused::new("ERR not a command on data")) };
        function(&mut DataCall {
            args,
            keys: &mut self.keys,
            profile: self.profile,
            rng: &mut self.rng,
            scans_from: 0,
            ready: None,
        })
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "|").replace("\\\"", "\"").replace("\\'", "'")
}

fn words(line: &str) -> Vec<Bytes> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(first) = chars.peek().copied() {
        if first == ' ' {
            chars.next();
            continue;
        }
        let mut word = Vec::new();
        if first == '"' {
            chars.next();
            while let Some(char) = chars.next().filter(|char| *char != '"') {
                if char != '\\' {
                    word.extend(char.to_string().bytes());
                    continue;
                }
                match chars.next() {
                    Some('n') => word.push(b'\n'),
                    Some('r') => word.push(b'\r'),
                    Some('t') => word.push(b'\t'),
                    Some('x') => {
                        let digits: String = chars.by_ref().take(2).collect();
                        word.push(u8::from_str_radix(&digits, 16).unwrap());
                    }
                    other => word.extend(other.into_iter().flat_map(|char| char.to_string().into_bytes())),
                }
            }
        } else {
            while let Some(char) = chars.next_if(|char| *char != ' ') {
                word.extend(char.to_string().bytes());
            }
        }
        words.push(word.into());
    }
    words
}
