//! Who serves which slots: a table, JSON or a picture.

use std::fs;
use std::io::Write;
use std::path::Path;

use keyslot::Slot;
use keyslot::admin::{Admin, ClusterView, NodeView, Slots};
use serde_json::json;

use crate::options::HeatOf;
use crate::screen::Screen;
use crate::slot_svg::{Heat, Shard, svg};
use crate::task::{Failure, WELL};

/// Shows the slots in the way that is asked for.
pub(crate) async fn show_slots(
    screen: &mut Screen,
    as_json: bool,
    admin: &Admin,
    picture: Option<&Path>,
    heat: Option<HeatOf>,
    sample: usize,
) -> Result<u8, Failure> {
    let view = admin.view().await?;
    let heat = match heat {
        Some(of) => Some((unit(of), measured(admin, of, sample).await?)),
        None => None,
    };
    if let Some(path) = picture {
        let heat = heat.as_ref().map(|(unit, of_slot)| Heat { unit, of_slot });
        let page = svg(&title(&view), &shards(&view), heat);
        if path == Path::new("-") {
            write!(screen.out, "{page}")?;
            return Ok(WELL);
        }
        fs::write(path, page)
            .map_err(|error| Failure::failed(format!("{} cannot be written: {error}", path.display())))?;
    }
    if as_json {
        let heat = heat.map(|(unit, of_slot)| json!({"unit": unit, "of_slot": of_slot}));
        let shards: Vec<_> = serving(&view).map(|node| as_document(&view, node)).collect();
        let document = json!({
            "shards": shards,
            "unserved": unserved(&view).to_string(),
            "heat": heat,
            "picture": picture.map(|path| path.display().to_string()),
        });
        writeln!(screen.out, "{document}")?;
        return Ok(WELL);
    }
    table(screen, &view, heat.as_ref().map(|(unit, of_slot)| (*unit, of_slot.as_slice())))?;
    if let Some(path) = picture {
        writeln!(screen.out, "The picture is in {}.", path.display())?;
    }
    Ok(WELL)
}

fn unit(of: HeatOf) -> &'static str {
    match of {
        HeatOf::Keys => "keys",
        HeatOf::Bytes => "bytes",
    }
}

/// A number for each slot; 0 where nobody serves it.
async fn measured(admin: &Admin, of: HeatOf, sample: usize) -> Result<Vec<u64>, Failure> {
    let counted = match of {
        HeatOf::Keys => admin.count_keys(&Slots::all()).await?,
        HeatOf::Bytes => admin.estimate_bytes(&Slots::all(), sample).await?,
    };
    Ok(Slot::all().map(|slot| counted.get(&slot).copied().unwrap_or(0)).collect())
}

/// Primaries with slots, in the order of these.
fn serving(view: &ClusterView) -> impl Iterator<Item = &NodeView> {
    view.primaries().filter(|node| node.myself.slots_served() > 0)
}

fn unserved(view: &ClusterView) -> Slots {
    let is_served = |slot: Slot| {
        let mut ranges = serving(view).flat_map(|node| node.myself.ranges());
        ranges.any(|range| (range.first..=range.last).contains(&slot))
    };
    Slot::all().filter(|slot| !is_served(*slot)).collect()
}

fn title(view: &ClusterView) -> String {
    let keys: u64 = view.primaries().map(|node| node.keys).sum();
    let replicas = view.nodes.len() - view.primaries().count();
    format!("{} primaries, {replicas} replicas, {keys} keys", view.primaries().count())
}

fn shards(view: &ClusterView) -> Vec<Shard> {
    let shard = |node: &NodeView| Shard {
        name: node.addr.to_string(),
        slots: node.myself.ranges().iter().map(|range| range.first.get()..=range.last.get()).collect(),
        replicas: view.replicas_of(node.id()).map(|replica| replica.addr.to_string()).collect(),
    };
    serving(view).map(shard).collect()
}

fn as_document(view: &ClusterView, node: &NodeView) -> serde_json::Value {
    let replicas: Vec<String> = view.replicas_of(node.id()).map(|replica| replica.addr.to_string()).collect();
    let ranges: Vec<_> =
        node.myself.ranges().iter().map(|range| [range.first.get(), range.last.get()]).collect();
    json!({
        "id": &**node.id(),
        "primary": node.addr.to_string(),
        "replicas": replicas,
        "slots": ranges,
        "slot_count": node.myself.slots_served(),
        "keys": node.keys,
    })
}

fn table(screen: &mut Screen, view: &ClusterView, heat: Option<(&str, &[u64])>) -> Result<(), Failure> {
    let width = view.nodes.iter().map(|node| node.addr.to_string().len()).max().unwrap_or(0).max(7);
    write!(screen.out, "{:<width$}  {:>5}  {:>6}  {:>10}", "primary", "slots", "share", "keys")?;
    if let Some((unit @ "bytes", _)) = heat {
        write!(screen.out, "  {unit:>12}")?;
    }
    writeln!(screen.out, "  replicas and ranges")?;
    for node in serving(view) {
        let ranges = node.myself.ranges();
        let slots = node.myself.slots_served();
        let share = 100.0 * slots as f64 / f64::from(Slot::COUNT);
        write!(
            screen.out,
            "{:<width$}  {slots:>5}  {share:>5.1}%  {:>10}",
            node.addr.to_string(),
            node.keys
        )?;
        if let Some(("bytes", of_slot)) = heat {
            let own = ranges.iter().flat_map(|range| range.first.get()..=range.last.get());
            let bytes: u64 = own.filter_map(|slot| of_slot.get(usize::from(slot))).sum();
            write!(screen.out, "  {bytes:>12}")?;
        }
        let replicas: Vec<String> =
            view.replicas_of(node.id()).map(|replica| replica.addr.to_string()).collect();
        let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        writeln!(screen.out, "  [{}] {}", replicas.join(" "), ranges.join(","))?;
    }
    let unserved = unserved(view);
    if !unserved.is_empty() {
        writeln!(screen.out, "nobody serves {unserved}")?;
    }
    if let Some((unit, of_slot)) = heat {
        let all: u64 = of_slot.iter().sum();
        let most = of_slot.iter().zip(Slot::all()).max_by_key(|(amount, _)| **amount);
        if let Some((most, slot)) = most.filter(|(most, _)| **most > 0) {
            let average = all as f64 / f64::from(Slot::COUNT);
            writeln!(
                screen.out,
                "{all} {unit}; the fullest slot is {slot} with {most} (on average {average:.1})"
            )?;
        }
    }
    Ok(())
}
