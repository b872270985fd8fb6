//! The connection itself: greeting, authentication, `PING`, and what ends or resets it.

use bytes::Bytes;

use crate::testkit::sim::call::{Answered, Call, int, reply};
use crate::testkit::sim::commands::client;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::{Reply, Resp};
use crate::testkit::sim::session::Answering;
use crate::testkit::sim::spec::{Keys, Spec};
use crate::testkit::sim::tracking;
use crate::testkit::sim::view::Role;

const FREE: &str = "noscript loading stale fast no_auth allow_busy";

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::world("hello", -1, FREE, Keys::None, hello),
    Spec::world("auth", -2, FREE, Keys::None, auth),
    Spec::world("ping", -1, "fast", Keys::None, ping),
    Spec::world("echo", 2, "loading stale fast", Keys::None, echo),
    Spec::world("select", 2, "loading stale fast", Keys::None, select),
    Spec::world("reset", 1, FREE, Keys::None, reset),
    Spec::world("quit", -1, FREE, Keys::None, quit),
    Spec::world("asking", 1, "fast", Keys::None, asking),
    Spec::world("readonly", 1, "loading stale fast", Keys::None, readonly),
    Spec::world("readwrite", 1, "loading stale fast", Keys::None, readwrite),
    Spec::world("post", -1, FREE, Keys::None, hang_up),
    Spec::world("host:", -1, FREE, Keys::None, hang_up),
];

fn hello(call: &mut Call<'_>) -> Answered {
    let profile = call.profile();
    let resp = match call.args.get(1).map(|version| int(version)) {
        None => None,
        Some(Ok(2)) => Some(Resp::Two),
        Some(Ok(3)) => Some(Resp::Three),
        Some(Ok(_)) => return Err(Refused::new("NOPROTO unsupported protocol version")),
        Some(Err(_)) => return Err(Refused::new("ERR Protocol version is not an integer or out of range")),
    };
    let mut login = None;
    let mut name = None;
    let mut rest = call.rest(2);
    while let [option, behind @ ..] = rest {
        rest = match behind {
            [user, password, behind @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                login = Some((user.clone(), password.clone()));
                // Before Redis 7.2 it was done at once, whatever stands behind it.
                if !profile.since_7_2() {
                    authenticate(call, user, password)?;
                }
                behind
            }
            [given, behind @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                name = Some(client::checked_name(given)?);
                behind
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(Refused::new(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        };
    }
    if let Some((user, password)) = &login {
        authenticate(call, user, password)?;
    }
    if call.session.user.is_none() {
        let usage =
            if profile.since_7_2() { "HELLO <proto> AUTH <user> <pass>" } else { "HELLO AUTH <user> <pass>" };
        return Err(Refused::new(format!(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the {usage} option can be \
             used to authenticate the client and select the RESP protocol version at the same time"
        )));
    }
    if let Some(name) = name {
        call.session.name = name;
    }
    if let Some(resp) = resp {
        call.session.resp = resp;
    }
    reply(greeting(call))
}

fn greeting(call: &Call<'_>) -> Reply {
    let profile = call.profile();
    let node = call.world.node(call.node);
    let proto = if call.session.resp == Resp::Three { 3 } else { 2 };
    let module = |name: &str, path: &str| {
        let fields = [("name", Reply::bulk(name)), ("ver", Reply::Int(1)), ("path", Reply::bulk(path))];
        let fields = fields.into_iter().chain([("args", Reply::Array(Vec::new()))]);
        vec![Reply::Map(fields.map(|(name, value)| (Reply::bulk(name), value)).collect())]
    };
    let modules = match profile {
        Profile::Redis62 | Profile::Redis70 | Profile::Valkey81 => Vec::new(),
        Profile::Redis82 | Profile::Redis84 => module("vectorset", ""),
        Profile::Valkey91 => module("lua", "lua"),
    };
    let role = match node.role() {
        Role::Primary => "master",
        Role::ReplicaOf(_) => "replica",
    };
    let fields = [
        ("server", Reply::bulk(profile.product())),
        ("version", Reply::bulk(profile.version())),
        ("proto", Reply::Int(proto)),
        ("id", client::number(call.session.id)),
        ("mode", Reply::bulk("cluster")),
        ("role", Reply::bulk(role)),
        ("modules", Reply::Array(modules)),
    ];
    Reply::Map(fields.into_iter().map(|(name, value)| (Reply::bulk(name), value)).collect())
}

/// Makes the connection this user's, or leaves it whose it was.
fn authenticate(call: &mut Call<'_>, user: &Bytes, password: &Bytes) -> Result<(), Refused> {
    let node = call.world.node(call.node);
    let name = String::from_utf8_lossy(user);
    let is_known = if name == "default" {
        node.password.as_ref().is_none_or(|known| known.as_bytes() == password)
    } else {
        node.users.get(name.as_ref()).is_some_and(|user| user.accepts(password))
    };
    if !is_known {
        return Err(Refused::new("WRONGPASS invalid username-password pair or user is disabled."));
    }
    call.session.user = Some(name.into_owned());
    Ok(())
}

fn auth(call: &mut Call<'_>) -> Answered {
    let (user, password) = match call.rest(1) {
        [_] if call.world.node(call.node).password.is_none() => {
            return Err(Refused::new(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        [password] => (Bytes::from_static(b"default"), password),
        [user, password] => (user.clone(), password),
        _ => return Err(Refused::syntax()),
    };
    authenticate(call, &user, &password.clone())?;
    reply(Reply::Ok)
}

fn ping(call: &mut Call<'_>) -> Answered {
    if call.args.len() > 2 {
        return Err(Refused::wrong_number("ping"));
    }
    reply(if call.session.is_subscriber_only() {
        Reply::Array(vec![Reply::bulk("pong"), Reply::Bulk(call.arg(1))])
    } else if let Some(text) = call.args.get(1) {
        Reply::Bulk(text.clone())
    } else {
        Reply::Simple("PONG".into())
    })
}

fn echo(call: &mut Call<'_>) -> Answered {
    reply(Reply::Bulk(call.arg(1)))
}

fn select(call: &mut Call<'_>) -> Answered {
    let database = int(&call.arg(1))?;
    if i32::try_from(database).is_err() {
        return Err(Refused::new("ERR value is out of range, value must between -2147483648 and 2147483647"));
    }
    match database {
        0 => reply(Reply::Ok),
        _ if call.profile() == Profile::Valkey91 => Err(Refused::new("ERR DB index is out of range")),
        _ => Err(Refused::new("ERR SELECT is not allowed in cluster mode")),
    }
}

fn reset(call: &mut Call<'_>) -> Answered {
    let session = &mut *call.session;
    session.transaction = None;
    call.world.unwatch(session);
    tracking::forget(call.world, session);
    session.channels.clear();
    session.patterns.clear();
    session.shard_channels.clear();
    session.name.clear();
    session.resp = Resp::Two;
    session.asking = false;
    session.readonly = false;
    session.no_evict = false;
    session.no_touch = false;
    session.answering = Answering::On;
    let is_open = call.world.node(call.node).password.is_none();
    session.user = is_open.then(|| "default".to_owned());
    reply(Reply::Simple("RESET".into()))
}

fn quit(call: &mut Call<'_>) -> Answered {
    call.session.closes = true;
    reply(Reply::Ok)
}

/// A web browser has lost its way, or was sent here by somebody bad: no answer.
fn hang_up(call: &mut Call<'_>) -> Answered {
    call.session.closes = true;
    reply(Reply::Several(Vec::new()))
}

fn asking(call: &mut Call<'_>) -> Answered {
    call.session.asking = true;
    reply(Reply::Ok)
}

fn readonly(call: &mut Call<'_>) -> Answered {
    call.session.readonly = true;
    reply(Reply::Ok)
}

fn readwrite(call: &mut Call<'_>) -> Answered {
    call.session.readonly = false;
    reply(Reply::Ok)
}
