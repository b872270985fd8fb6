//! `CLIENT`, except for tracking.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::testkit::sim::agenda::Event;
use crate::testkit::sim::blocking;
use crate::testkit::sim::call::{Answered, Call, int, reply};
use crate::testkit::sim::client_list;
use crate::testkit::sim::node::ClientPause;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::session::{Answering, Session, SessionId};
use crate::testkit::sim::spec::{Keys, Since, Spec};

const PLAIN: &str = "noscript loading stale";
const ADMIN: &str = "admin noscript loading stale";

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::world("client|id", 2, PLAIN, Keys::None, id),
    Spec::world("client|getname", 2, PLAIN, Keys::None, getname),
    Spec::world("client|setname", 3, PLAIN, Keys::None, setname),
    Spec::world("client|setinfo", 4, PLAIN, Keys::None, setinfo).since(Since::Redis72),
    Spec::world("client|info", 2, PLAIN, Keys::None, info),
    Spec::world("client|list", -2, ADMIN, Keys::None, list),
    Spec::world("client|kill", -3, ADMIN, Keys::None, kill),
    Spec::world("client|pause", -3, ADMIN, Keys::None, pause),
    Spec::world("client|unpause", 2, ADMIN, Keys::None, unpause),
    Spec::world("client|unblock", -3, ADMIN, Keys::None, unblock),
    Spec::world("client|reply", 3, "noscript loading stale no_multi", Keys::None, answering),
    Spec::world("client|no-evict", 3, ADMIN, Keys::None, no_evict).since(Since::Redis70),
    Spec::world("client|no-touch", 3, PLAIN, Keys::None, no_touch).since(Since::Redis72),
    Spec::world("client|capa", -3, PLAIN, Keys::None, capa).since(Since::Valkey),
];

pub(in crate::testkit::sim) fn number(id: SessionId) -> Reply {
    Reply::Int(i64::try_from(id.0).unwrap_or(i64::MAX))
}

/// A name that may be one.
pub(in crate::testkit::sim) fn checked_name(name: &Bytes) -> Result<Bytes, Refused> {
    checked(name, "Client names")
}

fn checked(text: &Bytes, what: &str) -> Result<Bytes, Refused> {
    if text.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        Ok(text.clone())
    } else {
        Err(Refused::new(format!("ERR {what} cannot contain spaces, newlines or special characters.")))
    }
}

fn id(call: &mut Call<'_>) -> Answered {
    reply(number(call.session.id))
}

fn getname(call: &mut Call<'_>) -> Answered {
    let name = call.session.name.clone();
    reply(Reply::maybe((!name.is_empty()).then_some(name)))
}

fn setname(call: &mut Call<'_>) -> Answered {
    call.session.name = checked_name(&call.arg(2))?;
    reply(Reply::Ok)
}

fn setinfo(call: &mut Call<'_>) -> Answered {
    let value = call.arg(3);
    if call.is(2, "lib-name") {
        call.session.library.0 = checked(&value, "LIB-NAME")?;
    } else if call.is(2, "lib-ver") {
        call.session.library.1 = checked(&value, "LIB-VER")?;
    } else {
        let option = String::from_utf8_lossy(&call.arg(2)).into_owned();
        return Err(Refused::new(format!("ERR Unrecognized option '{option}'")));
    }
    reply(Reply::Ok)
}

fn info(call: &mut Call<'_>) -> Answered {
    reply(Reply::Verbatim(client_list::line(call.session, call.world)))
}

fn list(call: &mut Call<'_>) -> Answered {
    let invalid = || match call.profile().is_valkey() {
        true => Refused::syntax(),
        false => Refused::new("ERR Invalid client ID"),
    };
    let is_listed: Box<dyn Fn(&Session) -> bool> = match call.rest(2) {
        [] => Box::new(|_| true),
        [option, kind] if option.eq_ignore_ascii_case(b"type") => {
            let kind = Kind::parse(kind)?;
            Box::new(move |session| kind.has(session))
        }
        [option, ids @ ..] if option.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
            let ids: Vec<i64> =
                ids.iter().map(|id| int(id)).collect::<Result<_, _>>().map_err(|_| invalid())?;
            Box::new(move |session| ids.iter().any(|id| u64::try_from(*id) == Ok(session.id.0)))
        }
        _ => return Err(Refused::syntax()),
    };
    reply(Reply::Verbatim(client_list::lines(call.session, call.world, is_listed)))
}

/// The `TYPE` of `CLIENT LIST` and `CLIENT KILL`. The links of the cluster are none of these connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Subscriber,
    Link,
}

impl Kind {
    fn parse(word: &Bytes) -> Result<Self, Refused> {
        match word.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Self::Normal),
            b"pubsub" => Ok(Self::Subscriber),
            b"master" | b"primary" | b"slave" | b"replica" => Ok(Self::Link),
            _ => {
                let word = String::from_utf8_lossy(word);
                Err(Refused::new(format!("ERR Unknown client type '{word}'")))
            }
        }
    }

    fn has(self, session: &Session) -> bool {
        self == if session.is_subscriber() { Self::Subscriber } else { Self::Normal }
    }
}

/// Whom `CLIENT KILL` means: all that fit every filter.
#[derive(Default)]
struct Filters {
    id: Option<u64>,
    peer: Option<String>,
    local: Option<String>,
    user: Option<String>,
    kind: Option<Kind>,
    oldest: Option<Duration>,
    spares_me: bool,
}

impl Filters {
    fn parse(options: &[Bytes], call: &Call<'_>) -> Result<Self, Refused> {
        let profile = call.profile();
        let mut filters = Self { spares_me: true, ..Self::default() };
        for option in options.chunks(2) {
            let [name, value] = option else { return Err(Refused::syntax()) };
            let text = String::from_utf8_lossy(value).into_owned();
            match name.to_ascii_lowercase().as_slice() {
                b"id" => filters.id = Some(Self::id(value, profile)?),
                b"addr" => filters.peer = Some(text),
                b"laddr" => filters.local = Some(text),
                b"type" => filters.kind = Some(Kind::parse(value)?),
                b"user" if text == "default" || call.world.node(call.node).users.contains_key(&text) => {
                    filters.user = Some(text);
                }
                b"user" => return Err(Refused::new(format!("ERR No such user '{text}'"))),
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => filters.spares_me = true,
                b"skipme" if value.eq_ignore_ascii_case(b"no") => filters.spares_me = false,
                b"maxage" if profile.since_7_2() => {
                    filters.oldest = Some(Duration::from_secs(u64::try_from(int(value)?).unwrap_or(0)));
                }
                _ => return Err(Refused::syntax()),
            }
        }
        Ok(filters)
    }

    fn id(value: &Bytes, profile: Profile) -> Result<u64, Refused> {
        let too_small = || Refused::new("ERR client-id should be greater than 0");
        match int(value).map(u64::try_from) {
            Ok(Ok(id)) if id > 0 || !profile.since_7_0() => Ok(id),
            Err(refused) if !profile.since_7_0() => Err(refused),
            Err(_) if profile.is_valkey() => Err(Refused::syntax()),
            _ => Err(too_small()),
        }
    }

    fn has(&self, session: &Session, local: &str) -> bool {
        // Redis 6.2 takes an id of zero for none.
        self.id.is_none_or(|id| id == 0 || id == session.id.0)
            && self.peer.as_ref().is_none_or(|peer| *peer == session.peer())
            && self.local.as_ref().is_none_or(|wanted| wanted == local)
            && self.user.as_ref().is_none_or(|user| session.user.as_ref() == Some(user))
            && self.kind.is_none_or(|kind| kind.has(session))
            && self.oldest.is_none_or(|age| session.opened.elapsed() >= age)
    }
}

fn kill(call: &mut Call<'_>) -> Answered {
    let is_old_form = call.args.len() == 3;
    let filters = if is_old_form {
        Filters { peer: Some(String::from_utf8_lossy(&call.arg(2)).into_owned()), ..Filters::default() }
    } else {
        Filters::parse(call.rest(2), call)?
    };
    let local = call.world.node(call.node).addr.to_string();
    let is_meant = |session: &&Session| session.node == call.node && filters.has(session, &local);
    let killed: Vec<SessionId> =
        call.world.sessions.values().filter(is_meant).map(|session| session.id).collect();
    let mut count = killed.len();
    for id in killed {
        call.world.close(id);
    }
    if !filters.spares_me && filters.has(call.session, &local) {
        call.session.closes = true;
        count += 1;
    }
    match (is_old_form, count) {
        (false, _) => reply(Reply::int(count)),
        (true, 0) => Err(Refused::new("ERR No such client")),
        (true, _) => reply(Reply::Ok),
    }
}

fn pause(call: &mut Call<'_>) -> Answered {
    // Valkey does not look at what stands behind the mode.
    if call.rest(3).len() > 1 && !call.profile().is_valkey() {
        return Err(Refused::wrong_subcommand("CLIENT", &call.arg(1), call.profile()));
    }
    let only_writes = match call.rest(3).first() {
        None => false,
        Some(mode) if mode.eq_ignore_ascii_case(b"write") => true,
        Some(mode) if mode.eq_ignore_ascii_case(b"all") => false,
        Some(_) => return Err(Refused::new("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    let timeout = int(&call.arg(2))
        .map_err(|_| Refused::new("ERR timeout is not an integer or out of range"))
        .and_then(|timeout| u64::try_from(timeout).map_err(|_| Refused::new("ERR timeout is negative")))?;
    let delay = Duration::from_millis(timeout);
    // A shorter pause does not end a longer one.
    let until = Instant::now() + delay;
    let before = call.world.node(call.node).client_pause.map(|pause| pause.until);
    let until = before.map_or(until, |before| before.max(until));
    call.world.node_mut(call.node).client_pause = Some(ClientPause { until, only_writes });
    call.world.later(until - Instant::now(), Event::Resume { node: call.node });
    reply(Reply::Ok)
}

fn unpause(call: &mut Call<'_>) -> Answered {
    call.world.node_mut(call.node).client_pause = None;
    call.world.wake_all(call.node);
    reply(Reply::Ok)
}

fn unblock(call: &mut Call<'_>) -> Answered {
    let with_error = match call.rest(3) {
        [] => false,
        [reason] if reason.eq_ignore_ascii_case(b"timeout") => false,
        [reason] if reason.eq_ignore_ascii_case(b"error") => true,
        [_, ..] => return Err(Refused::new("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
    };
    let id = SessionId(u64::try_from(int(&call.arg(2))?).unwrap_or(0));
    let is_here = call.world.sessions.get(&id).is_some_and(|session| session.node == call.node);
    let was_blocked = is_here
        && if with_error {
            let ended = blocking::end(call.world, id).is_some();
            if let (true, Some(session)) = (ended, call.world.sessions.get_mut(&id)) {
                session.send(&Reply::error("UNBLOCKED client unblocked via CLIENT UNBLOCK"));
            }
            ended
        } else {
            blocking::give_up(call.world, id)
        };
    reply(Reply::Int(was_blocked.into()))
}

fn answering(call: &mut Call<'_>) -> Answered {
    call.session.answering = if call.is(2, "on") {
        Answering::On
    } else if call.is(2, "off") {
        Answering::Off
    } else if call.is(2, "skip") {
        if call.session.answering == Answering::Off { Answering::Off } else { Answering::SkipNext }
    } else {
        return Err(Refused::syntax());
    };
    reply(Reply::Ok)
}

fn switch(call: &Call<'_>) -> Result<bool, Refused> {
    if call.is(2, "on") {
        Ok(true)
    } else if call.is(2, "off") {
        Ok(false)
    } else {
        Err(Refused::syntax())
    }
}

fn no_evict(call: &mut Call<'_>) -> Answered {
    call.session.no_evict = switch(call)?;
    reply(Reply::Ok)
}

fn no_touch(call: &mut Call<'_>) -> Answered {
    call.session.no_touch = switch(call)?;
    reply(Reply::Ok)
}

/// Unknown capabilities are passed over.
fn capa(call: &mut Call<'_>) -> Answered {
    if call.rest(2).iter().any(|word| word.eq_ignore_ascii_case(b"redirect")) {
        call.session.can_redirect = true;
    }
    reply(Reply::Ok)
}
