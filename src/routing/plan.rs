//! [`plan`]: where a command goes.

use crate::command::cut::Cut;
use crate::command::{Command, Keys, Target};
use crate::error::{Error, ErrorKind, Outcome};
use crate::node::NodeAddr;
use crate::protocol::command_spec::{Blocking, CommandSpec, Keys as KeySpec, RequestPolicy, ResponsePolicy};
use crate::routing::gather::Merge;
use crate::slot::Slot;
use crate::topology::slot_map::SlotMap;

/// What errors call a transaction.
pub(crate) const TRANSACTION: &str = "MULTI/EXEC";

/// One place to send to. A slot is looked up anew for each attempt, because its owner may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The primary of this slot.
    Slot(Slot),
    /// A node of the shard that serves this slot, as the policy for reads says.
    Read(Slot),
    /// This node.
    Node(NodeAddr),
    /// This primary; should it stop being one, whoever serves this slot of its shard then.
    Shard { primary: NodeAddr, slot: Slot },
    /// Any primary.
    Any,
}

/// The way of one command.
#[derive(Debug)]
pub(crate) enum Plan<'a> {
    /// It goes to one place as it is.
    One(Place),
    /// It goes in parts, each with its place; their replies are merged.
    Parts(Box<Parts<'a>>),
}

/// What is in a [`Plan`] that is not the usual one.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) shape: Shape<'a>,
    pub(crate) merge: Merge,
}

/// How a command goes to several places.
#[derive(Debug)]
pub(crate) enum Shape<'a> {
    /// The whole of it to each.
    Copies(Vec<Place>),
    /// To each slot what concerns it.
    BySlot(Cut<'a>),
}

impl Shape<'_> {
    /// How many parts there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Copies(places) => places.len(),
            Self::BySlot(cut) => cut.len(),
        }
    }
}

/// Decides where `command` goes; refuses what can have no true answer there.
#[inline]
pub(crate) fn plan<'a>(command: &'a Command, map: &SlotMap) -> Result<Plan<'a>, Error> {
    match command.plain_slot() {
        Some(slot) => Ok(Plan::One(Place::Slot(slot))),
        None => plan_by_facts(command, map),
    }
}

fn plan_by_facts<'a>(command: &'a Command, map: &SlotMap) -> Result<Plan<'a>, Error> {
    let spec = command.spec();
    if let Some(spec) = spec {
        refuse_what_needs_its_own_connection(spec)?;
    }
    match command.target() {
        Some(Target::Node(addr)) => return Ok(Plan::One(Place::Node(addr.clone()))),
        Some(Target::SlotOf(key)) => return Ok(Plan::One(Place::Slot(Slot::of_key(key)))),
        Some(Target::Random) => return Ok(Plan::One(Place::Any)),
        Some(Target::AllPrimaries) => return Ok(fan_out(primaries(map), response(spec))),
        Some(Target::AllNodes) => return Ok(fan_out(all_nodes(map), response(spec))),
        None => {}
    }
    match keys_of(command, spec)? {
        Keys::Same { slot, .. } => Ok(Plan::One(Place::Slot(slot))),
        Keys::Crossing { first, other } => match spec {
            Some(spec) if spec.request == RequestPolicy::MultiShard => split(command, spec),
            Some(_) | None => Err(cross_slot((command, first), (command, other))),
        },
        Keys::Unmarked => keyless(spec, map),
    }
}

/// The one place of a transaction; `None` without commands. Refuses keys of different slots, naming two of them.
pub(crate) fn transaction_place(commands: &[Command]) -> Result<Option<Place>, Error> {
    let mut settled: Option<(Slot, &Command, u32)> = None;
    for command in commands {
        let named = |error: Error| error.with_command(command.shared_name());
        let spec = command.spec();
        if let Some(spec) = spec {
            refuse_what_needs_its_own_connection(spec).map_err(named)?;
        }
        if command.target().is_some() {
            return Err(named(Error::usage("a transaction goes by its keys: send it by the client")));
        }
        match (keys_of(command, spec).map_err(named)?, settled) {
            (Keys::Unmarked, _) => spec.map_or(Ok(()), refuse_for_several).map_err(named)?,
            (Keys::Crossing { first, other }, _) => {
                return Err(cross_slot((command, first), (command, other)).with_command(TRANSACTION.into()));
            }
            (Keys::Same { slot, first }, Some((same, earlier, place))) if same != slot => {
                return Err(cross_slot((earlier, place), (command, first)).with_command(TRANSACTION.into()));
            }
            (Keys::Same { slot, first }, None) => settled = Some((slot, command, first)),
            (Keys::Same { .. }, Some(_)) => {}
        }
    }
    Ok(match settled {
        Some((slot, _, _)) => Some(Place::Slot(slot)),
        None => (!commands.is_empty()).then_some(Place::Any),
    })
}

/// Refuses a command without a key that the one node of a transaction would answer for itself alone, as if for the whole.
fn refuse_for_several(spec: &CommandSpec) -> Result<(), Error> {
    match spec.request {
        // Any node answers it as well as all.
        RequestPolicy::AllShards if matches!(spec.name, "PING" | "RANDOMKEY") => Ok(()),
        RequestPolicy::AllNodes | RequestPolicy::AllShards | RequestPolicy::Special => {
            Err(Error::usage("it concerns several nodes, and a transaction has one: send it by the client"))
        }
        RequestPolicy::ByKey | RequestPolicy::AnyNode | RequestPolicy::MultiShard => Ok(()),
    }
}

/// Refuses what the one connection of a session cannot do or cannot answer truly. The session is for the slot of `key`.
pub(crate) fn refuse_in_session(command: &Command, key: &[u8]) -> Result<(), Error> {
    let spec = command.spec();
    match spec.map(|spec| spec.blocking) {
        Some(Blocking::OwnWrites) => {
            return Err(Error::usage(
                "use Session::wait and Session::wait_aof, which know how long it may take",
            ));
        }
        Some(Blocking::Stream) => {
            return Err(Error::usage("it takes its connection over, and a session still needs it"));
        }
        Some(Blocking::Session) => {
            return Err(Error::usage(
                "it changes the state of the connection, which the session has to know: use Session::watch, unwatch and \
                 transaction",
            ));
        }
        Some(Blocking::Never | Blocking::SecondsLast | Blocking::SecondsFirst | Blocking::MillisOption)
        | None => {}
    }
    if command.target().is_some() {
        return Err(Error::usage("a session has one node: send it by the client"));
    }
    refuse_strange_keys(command, key)
}

/// Refuses keys that are not in the slot of `key`, the session's.
pub(crate) fn refuse_strange_keys(command: &Command, key: &[u8]) -> Result<(), Error> {
    let (spec, slot) = (command.spec(), Slot::of_key(key));
    let strange = match keys_of(command, spec)? {
        Keys::Same { slot: same, first } => (same != slot).then_some(first),
        Keys::Crossing { first, other } => {
            Some(if Slot::of_key(command.arg_at(first as usize)) == slot { other } else { first })
        }
        Keys::Unmarked => match spec.map(|spec| spec.request) {
            Some(RequestPolicy::AllNodes | RequestPolicy::AllShards | RequestPolicy::Special) => {
                return Err(Error::usage(
                    "it concerns several nodes, and a session has one: send it by the client",
                ));
            }
            Some(RequestPolicy::ByKey | RequestPolicy::AnyNode | RequestPolicy::MultiShard) | None => None,
        },
    };
    match strange {
        None => Ok(()),
        Some(place) => Err(Error::new(
            ErrorKind::CrossSlot,
            Outcome::Rejected,
            format!(
                "its keys must be in the session's slot, but {} and the session's key {}; give them a common {{hash tag}}",
                shown(command.arg_at(place as usize)),
                shown(key)
            ),
        )),
    }
}

/// The keys as marked, or as the table finds them.
fn keys_of(command: &Command, spec: Option<&CommandSpec>) -> Result<Keys, Error> {
    let (Keys::Unmarked, Some(spec)) = (command.marked_keys(), spec) else {
        return Ok(command.marked_keys());
    };
    let args: Vec<&[u8]> = command.body().iter().collect();
    let positions = positions(spec, args.len(), |place| args.get(place).copied().unwrap_or_default())?;
    let mut keys = Keys::Unmarked;
    for (place, key) in positions.filter_map(|place| Some((place, args.get(place)?))) {
        keys = keys.and(place, Slot::of_key(key));
        // Two slots settle it.
        if matches!(keys, Keys::Crossing { .. }) {
            break;
        }
    }
    Ok(keys)
}

fn positions<'a>(
    spec: &CommandSpec,
    args: usize,
    arg: impl Fn(usize) -> &'a [u8],
) -> Result<impl ExactSizeIterator<Item = usize>, Error> {
    spec.key_positions(args, arg).map_err(|error| {
        // The error names the command by itself.
        let text = error.to_string();
        Error::usage(
            text.strip_prefix(spec.name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text).to_owned(),
        )
    })
}

fn refuse_what_needs_its_own_connection(spec: &CommandSpec) -> Result<(), Error> {
    match spec.blocking {
        Blocking::Never | Blocking::SecondsLast | Blocking::SecondsFirst | Blocking::MillisOption => Ok(()),
        Blocking::OwnWrites => Err(Error::usage(
            "it counts the writes of its own connection, and this client's connections are shared: it would say \
             \"acknowledged\" for nothing. Pipeline::run_durable and Session::wait send it behind writes, on their own \
             connection",
        )),
        Blocking::Stream => Err(Error::usage(
            "it takes its connection over, and this client's connections are shared. For channels, patterns and shard \
             channels use Client::subscriber; monitoring is not supported yet",
        )),
        Blocking::Session => Err(Error::usage(
            "it changes the state of its connection, and this client's connections are shared. For MULTI and EXEC \
             use Client::transaction, for WATCH Client::session; credentials, names and RESP version are set by URL or builder",
        )),
    }
}

fn keyless<'a>(spec: Option<&CommandSpec>, map: &SlotMap) -> Result<Plan<'a>, Error> {
    let Some(spec) = spec else { return Ok(Plan::One(Place::Any)) };
    match spec.request {
        RequestPolicy::ByKey | RequestPolicy::AnyNode | RequestPolicy::MultiShard => {
            Ok(Plan::One(Place::Any))
        }
        RequestPolicy::AllNodes => Ok(fan_out(all_nodes(map), spec.response)),
        // Any primary's random key is a random key.
        RequestPolicy::AllShards if spec.name == "RANDOMKEY" => Ok(Plan::One(Place::Any)),
        RequestPolicy::AllShards => Ok(fan_out(primaries(map), spec.response)),
        RequestPolicy::Special => Err(Error::usage(
            "it walks one node with a cursor of that node: name the node with Command::to(Target::Node(..))",
        )),
    }
}

fn response(spec: Option<&CommandSpec>) -> ResponsePolicy {
    spec.map_or(ResponsePolicy::Special, |spec| spec.response)
}

fn primaries(map: &SlotMap) -> Vec<Place> {
    map.shards()
        .map(|shard| {
            let primary = shard.primary().addr.clone();
            match shard.slots().next() {
                Some(slot) => Place::Shard { primary, slot },
                None => Place::Node(primary),
            }
        })
        .collect()
}

fn all_nodes(map: &SlotMap) -> Vec<Place> {
    map.nodes().iter().map(|node| Place::Node(node.addr.clone())).collect()
}

fn fan_out<'a>(places: Vec<Place>, policy: ResponsePolicy) -> Plan<'a> {
    let nodes = places
        .iter()
        .filter_map(|place| match place {
            Place::Node(addr) | Place::Shard { primary: addr, .. } => Some(addr.clone()),
            Place::Slot(_) | Place::Read(_) | Place::Any => None,
        })
        .collect();
    Plan::Parts(Box::new(Parts { shape: Shape::Copies(places), merge: Merge::by_policy(policy, nodes) }))
}

/// One part for each slot.
fn split<'a>(command: &'a Command, spec: &CommandSpec) -> Result<Plan<'a>, Error> {
    let KeySpec::Range { last, step, .. } = spec.keys else {
        return Err(Error::usage("its keys are in different slots, and it cannot be split"));
    };
    let args = command.body().args();
    let mut keys = positions(spec, args, |place| command.arg_at(place))?;
    let count = keys.len();
    let first = keys.next().unwrap_or(args);
    if last == -1 && !(args - first).is_multiple_of(usize::from(step)) {
        // A server refuses the whole; of its parts, only the one that lacks something.
        return Err(Error::usage("the last of its keys has no value"));
    }
    let answers_lists = spec.response == ResponsePolicy::Single;
    let cut = Cut::new(command, first, count, usize::from(step), answers_lists);
    let merge = Merge::of_split(spec.response, cut.places());
    Ok(Plan::Parts(Box::new(Parts { shape: Shape::BySlot(cut), merge })))
}

/// Names both keys and their slots, and the way out.
fn cross_slot(first: (&Command, u32), other: (&Command, u32)) -> Error {
    Error::new(
        ErrorKind::CrossSlot,
        Outcome::Rejected,
        format!(
            "its keys must be in one slot, but {} and {}; give them a common {{hash tag}}",
            shown(first.0.arg_at(first.1 as usize)),
            shown(other.0.arg_at(other.1 as usize))
        ),
    )
}

fn shown(key: &[u8]) -> String {
    let text = key.get(..key.len().min(64)).unwrap_or_default().escape_ascii().to_string();
    format!("\"{text}\" is in slot {}", Slot::of_key(key))
}

#[cfg(test)]
mod tests {
    use super::{Place, Plan, Shape, plan};
    use crate::command::cut::Part;
    use crate::command::{Command, Target};
    use crate::error::ErrorKind;
    use crate::node::NodeAddr;
    use crate::slot::Slot;
    use crate::topology::slot_map::tests::two_and_a_replica as map;

    fn one(command: &Command) -> Place {
        match plan(command, &map()).unwrap() {
            Plan::One(place) => place,
            parts => panic!("{parts:?}"),
        }
    }

    fn places(command: &Command) -> Vec<Place> {
        match plan(command, &map()).unwrap() {
            Plan::Parts(parts) => match parts.shape {
                Shape::Copies(places) => places,
                Shape::BySlot(cut) => cut.parts().map(|(slot, _)| Place::Slot(slot)).collect(),
            },
            one => panic!("{one:?}"),
        }
    }

    /// What each slot gets, without what is no text: headers and line ends.
    fn by_slot(command: &Command) -> Vec<(Slot, String)> {
        let Plan::Parts(parts) = plan(command, &map()).unwrap() else { panic!() };
        let Shape::BySlot(cut) = &parts.shape else { panic!() };
        let text = |bytes: &[u8]| {
            let lines = String::from_utf8_lossy(bytes).into_owned();
            lines.split_terminator("\r\n").skip(1).step_by(2).collect::<Vec<_>>().join(" ")
        };
        let of_part = |part: Part<'_>| {
            let mut texts = Vec::new();
            part.for_each_excerpt(|excerpt| texts.push(text(excerpt.bytes())));
            texts.join(" ")
        };
        cut.parts().map(|(slot, part)| (slot, of_part(part))).collect()
    }

    #[test]
    fn json_mget_is_split_and_its_path_goes_with_each_part() {
        let slot = |key: &str| Slot::of_key(key.as_bytes());
        let wanted = vec![
            (slot("{b}1"), "JSON.MGET {b}1 {b}2 $.a".to_owned()),
            (slot("c"), "JSON.MGET c $.a".to_owned()),
        ];
        let marked = Command::new("JSON.MGET").keys(["{b}1", "c", "{b}2"]).arg("$.a");
        let bare = Command::new("json.mget").args(["{b}1", "c", "{b}2", "$.a"]);
        assert_eq!(by_slot(&marked), wanted);
        assert_eq!(
            by_slot(&bare),
            [(slot("{b}1"), "json.mget {b}1 {b}2 $.a".to_owned()), (slot("c"), "json.mget c $.a".to_owned()),]
        );
        // The path is no key, even where it looks like one.
        let path = Command::new("JSON.MGET").args(["{b}1", "{b}2", "c"]);
        assert_eq!(one(&path), Place::Slot(slot("{b}1")));
        // All or none: it cannot be cut.
        for line in [["{b}1", "$", "1", "c", "$", "2"], ["c", "$", "1", "{b}1", "$", "2"]] {
            let refused = plan(&Command::new("JSON.MSET").args(line), &map()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::CrossSlot);
        }
        // A path or a value is no key.
        let set = Command::new("JSON.MSET").args(["{b}1", "$", "c", "{b}2", "c", "1"]);
        assert_eq!(one(&set), Place::Slot(slot("{b}1")));
    }

    #[test]
    fn a_command_goes_by_its_key_marked_or_not() {
        let foo = Place::Slot(Slot::of_key(b"foo"));
        assert_eq!(one(&Command::new("GET").key("foo")), foo);
        assert_eq!(one(&Command::new("get").arg("foo")), foo);
        assert_eq!(one(&Command::new("MODULE.CALL").key("foo").arg("bar")), foo);
        assert_eq!(
            one(&Command::new("ZUNIONSTORE").arg("{foo}:3").arg("2").arg("{foo}:1").arg("{foo}:2")),
            foo
        );
        assert_eq!(one(&Command::new("ECHO").arg("foo")), Place::Any);
    }

    #[test]
    fn a_multi_key_command_is_split_by_slot_with_its_values() {
        let slot = |key: &str| Slot::of_key(key.as_bytes());
        let mset = Command::new("MSET").key_values([("a", "1"), ("b", "2"), ("{a}x", "3")]);
        assert_eq!(
            by_slot(&mset),
            [(slot("b"), "MSET b 2".to_owned()), (slot("a"), "MSET a 1 {a}x 3".to_owned())]
        );
        let bare = Command::new("MGET").arg("a").arg("b");
        assert_eq!(by_slot(&bare), [(slot("b"), "MGET b".to_owned()), (slot("a"), "MGET a".to_owned())]);
    }

    #[test]
    fn what_cannot_be_split_names_both_keys_and_slots() {
        let error = plan(&Command::new("SUNIONSTORE").arg("all").arg("a").arg("b"), &map()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CrossSlot);
        assert_eq!(
            error.to_string(),
            "its keys must be in one slot, but \"all\" is in slot 3894 and \"a\" is in slot 15495; \
             give them a common {hash tag}"
        );
        assert!(plan(&Command::new("MSETNX").arg("a").arg("1").arg("b").arg("2"), &map()).is_err());
    }

    #[test]
    fn keyless_commands_go_where_their_policy_says() {
        assert_eq!(places(&Command::new("DBSIZE")).len(), 2);
        assert_eq!(places(&Command::new("CONFIG SET").arg("a").arg("b")).len(), 3);
        assert_eq!(one(&Command::new("RANDOMKEY")), Place::Any);
        let node = NodeAddr::new("c", 3);
        assert_eq!(one(&Command::new("DBSIZE").to(Target::Node(node.clone()))), Place::Node(node));
        assert_eq!(places(&Command::new("TIME").to(Target::AllNodes)).len(), 3);
    }

    #[test]
    fn what_would_lie_or_do_harm_on_a_shared_connection_is_refused() {
        for name in ["WAIT", "MULTI", "WATCH", "SELECT", "CLIENT REPLY", "SUBSCRIBE", "MONITOR"] {
            let error = plan(&Command::new(name).key("1"), &map()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{name}");
        }
    }
}
