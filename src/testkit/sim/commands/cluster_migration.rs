//! `CLUSTER MIGRATION` of Redis 8.4, by its documentation.

use crate::slot::Slot;
use crate::testkit::sim::call::{Answered, Call, int, reply};
use crate::testkit::sim::import::Import;
use crate::testkit::sim::imports;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;

fn slot(arg: &[u8]) -> Result<u16, Refused> {
    let slot = int(arg).ok().and_then(|number| u16::try_from(number).ok()).and_then(Slot::new);
    slot.map(Slot::get).ok_or_else(|| Refused::new("ERR Invalid or out of range slot"))
}

pub(super) fn migration(call: &mut Call<'_>) -> Answered {
    let wanted = match (call.is(3, "ALL"), call.is(3, "ID"), call.args.len()) {
        (true, _, 4) => Some(None),
        (_, true, 5) => Some(Some(String::from_utf8_lossy(&call.arg(4)).into_owned())),
        _other => None,
    };
    match wanted {
        Some(id) if call.is(2, "STATUS") => {
            let node = call.world.node(call.node);
            let meant = node.imports.iter().filter(|import| id.as_ref().is_none_or(|id| import.id == *id));
            reply(Reply::Array(meant.map(|import| status(call, import)).collect()))
        }
        Some(id) if call.is(2, "CANCEL") => {
            reply(Reply::int(imports::cancel(call.world, call.node, id.as_deref())))
        }
        _other if call.is(2, "IMPORT") && call.args.len() >= 5 && call.args.len() % 2 == 1 => {
            let mut ranges = Vec::new();
            for pair in call.rest(3).chunks(2) {
                let [first, last] = pair else { continue };
                let (first, last) = (slot(first)?, slot(last)?);
                if first > last {
                    return Err(Refused::new("ERR start slot is greater than end slot"));
                }
                ranges.push((first, last));
            }
            reply(Reply::bulk(imports::begin(call.world, call.node, ranges)?))
        }
        _other => Err(Refused::syntax()),
    }
}

fn status(call: &Call<'_>, import: &Import) -> Reply {
    let slots: Vec<String> = import.ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    let id_of = |index| Reply::bulk(&call.world.node(index).id);
    let fields = [
        ("id", Reply::bulk(&import.id)),
        ("slots", Reply::bulk(slots.join(" "))),
        ("source", id_of(import.source)),
        ("dest", id_of(call.node)),
        ("operation", Reply::bulk("import")),
        ("state", Reply::bulk(import.state.word())),
        ("last_error", Reply::bulk("")),
        ("retries", Reply::Int(0)),
        ("create_time", Reply::Int(0)),
        ("start_time", Reply::Int(0)),
        ("end_time", Reply::Int(0)),
        ("write_pause_ms", Reply::Int(0)),
    ];
    Reply::Map(fields.into_iter().map(|(name, value)| (Reply::bulk(name), value)).collect())
}
