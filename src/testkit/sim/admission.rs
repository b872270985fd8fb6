//! Whether a connection may send a command: authentication, permissions, and the state of a subscriber.

use bytes::Bytes;

use crate::testkit::sim::command_info;
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::session::Session;
use crate::testkit::sim::spec::Spec;
use crate::testkit::sim::table;
use crate::testkit::sim::view::NodeIndex;
use crate::testkit::sim::world::World;

fn no_auth() -> Refused {
    Refused::new("NOAUTH Authentication required.")
}

/// What is told instead of an error about a command that is none: Valkey 9 tells strangers nothing of its commands,
/// except of those that they may send.
pub(super) fn of_unknown(world: &World, session: &Session, args: &[Bytes], refused: Refused) -> Refused {
    let profile = world.node(session.node).profile;
    if session.user.is_some() || profile != Profile::Valkey91 {
        return refused;
    }
    let own = args.first().and_then(|name| table::word(name, profile)).and_then(|word| word.own);
    if own.is_some_and(|spec| spec.is("no_auth")) { refused } else { no_auth() }
}

/// Whether this is somebody who may run the command; asked before the cluster is.
pub(super) fn check(
    world: &World,
    node: NodeIndex,
    session: &Session,
    spec: &Spec,
    args: &[Bytes],
) -> Result<(), Refused> {
    let node = world.node(node);
    let profile = node.profile;
    // `RESET` came without it on Redis 6.2.
    let is_free = spec.is("no_auth") && (profile.since_7_0() || spec.name != "reset");
    let Some(name) = &session.user else {
        return if is_free { Ok(()) } else { Err(no_auth()) };
    };
    let Some(user) = node.users.get(name).filter(|_| !is_free) else { return Ok(()) };
    let shown = spec.name.split('|').next().filter(|_| !profile.since_7_0()).unwrap_or(spec.name);
    let word = table::word(spec.name.split('|').next().unwrap_or_default().as_bytes(), profile);
    let categories = word.map(|word| command_info::categories(word, Some(spec))).unwrap_or_default();
    if !user.may_run(spec.name, &categories) {
        return Err(Refused::new(match profile {
            Profile::Redis62 => {
                format!("NOPERM this user has no permissions to run the '{shown}' command or its subcommand")
            }
            Profile::Redis70 => format!("NOPERM this user has no permissions to run the '{shown}' command"),
            Profile::Redis82 | Profile::Redis84 | Profile::Valkey81 | Profile::Valkey91 => {
                format!("NOPERM User {name} has no permissions to run the '{shown}' command")
            }
        }));
    }
    let denied = |what: &str| {
        Err(Refused::new(if profile.since_7_2() {
            format!("NOPERM No permissions to access a {what}")
        } else {
            format!("NOPERM this user has no permissions to access one of the {what}s used as arguments")
        }))
    };
    let is_channels = spec.is("pubsub");
    if !is_channels && !spec.keys.of(args).iter().all(|key| user.may_access_key(key)) {
        return denied("key");
    }
    let rest = args.get(1..).unwrap_or_default();
    let channels = match spec.name {
        "publish" | "spublish" => rest.get(..1).unwrap_or_default(),
        "subscribe" | "ssubscribe" | "psubscribe" => rest,
        _ => &[],
    };
    if !channels.iter().all(|channel| user.may_access_channel(channel, spec.name == "psubscribe")) {
        return denied("channel");
    }
    Ok(())
}

/// Whether a subscriber may send it; asked after the cluster was.
pub(super) fn check_subscriber(session: &Session, spec: &Spec, profile: Profile) -> Result<(), Refused> {
    let is_allowed = matches!(
        spec.name,
        "ping"
            | "subscribe"
            | "ssubscribe"
            | "psubscribe"
            | "unsubscribe"
            | "sunsubscribe"
            | "punsubscribe"
            | "quit"
            | "reset"
    );
    if is_allowed || !session.is_subscriber_only() {
        return Ok(());
    }
    let (name, kinds) = if profile.since_7_0() {
        (spec.name, "(P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE")
    } else {
        (spec.name.split('|').next().unwrap_or_default(), "(P)SUBSCRIBE / (P)UNSUBSCRIBE")
    };
    Err(Refused::new(format!(
        "ERR Can't execute '{name}': only {kinds} / PING / QUIT / RESET are allowed in this context"
    )))
}
