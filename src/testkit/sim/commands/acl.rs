//! `ACL`: users, as far as clients meet them.

use crate::testkit::sim::acl::{BadRule, User};
use crate::testkit::sim::call::{Answered, Call, reply};
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::session::SessionId;
use crate::testkit::sim::spec::{Keys, Spec};

const ADMIN: &str = "admin noscript loading stale";

pub(in crate::testkit::sim) const COMMANDS: &[Spec] = &[
    Spec::world("acl|whoami", 2, "noscript loading stale", Keys::None, whoami),
    Spec::world("acl|users", 2, ADMIN, Keys::None, users),
    Spec::world("acl|list", 2, ADMIN, Keys::None, list),
    Spec::world("acl|setuser", -3, ADMIN, Keys::None, setuser),
    Spec::world("acl|deluser", -3, ADMIN, Keys::None, deluser),
];

fn whoami(call: &mut Call<'_>) -> Answered {
    reply(Reply::bulk(call.session.user.as_deref().unwrap_or("default")))
}

fn users(call: &mut Call<'_>) -> Answered {
    let names = call.world.node(call.node).users.keys().map(Reply::bulk);
    reply(Reply::Array([Reply::bulk("default")].into_iter().chain(names).collect()))
}

fn list(call: &mut Call<'_>) -> Answered {
    let node = call.world.node(call.node);
    let nopass = if node.password.is_none() { " nopass" } else { "" };
    let lines = node.users.iter().map(|(name, user)| Reply::bulk(user.describe(name)));
    let default = Reply::bulk(format!("user default on{nopass} ~* &* +@all"));
    reply(Reply::Array([default].into_iter().chain(lines).collect()))
}

/// The default user keeps all it may do: only its password is followed.
fn setuser(call: &mut Call<'_>) -> Answered {
    let name = String::from_utf8_lossy(&call.arg(2)).into_owned();
    let has_channels = !call.profile().since_7_0();
    let known = call.world.node(call.node).users.get(&name).cloned();
    let mut user = known.unwrap_or_else(|| User::new(has_channels));
    let rules: Vec<String> =
        call.rest(3).iter().map(|rule| String::from_utf8_lossy(rule).into_owned()).collect();
    for rule in &rules {
        user.apply(rule).map_err(|bad| {
            let why = match bad {
                BadRule::Syntax => "Syntax error",
                BadRule::NoSuchPassword => {
                    "The password you are trying to remove from the user does not exist"
                }
            };
            Refused::new(format!("ERR Error in ACL SETUSER modifier '{rule}': {why}"))
        })?;
    }
    let node = call.world.node_mut(call.node);
    if name != "default" {
        node.users.insert(name, user);
        return reply(Reply::Ok);
    }
    for rule in rules {
        match rule.strip_prefix('>') {
            Some(password) => node.password = Some(password.to_owned()),
            None if rule == "nopass" => node.password = None,
            None => {}
        }
    }
    reply(Reply::Ok)
}

fn deluser(call: &mut Call<'_>) -> Answered {
    let names: Vec<String> =
        call.rest(2).iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    if names.iter().any(|name| name == "default") {
        return Err(Refused::new("ERR The 'default' user cannot be removed"));
    }
    let mut count = 0;
    for name in names {
        if call.world.node_mut(call.node).users.remove(&name).is_none() {
            continue;
        }
        count += 1;
        // Its connections end.
        let is_its = |user: &Option<String>| user.as_deref() == Some(name.as_str());
        let sessions = call.world.sessions.values().filter(|session| session.node == call.node);
        let ended: Vec<SessionId> =
            sessions.filter(|session| is_its(&session.user)).map(|session| session.id).collect();
        ended.into_iter().for_each(|id| call.world.close(id));
        call.session.closes |= is_its(&call.session.user);
    }
    reply(Reply::int(count))
}
