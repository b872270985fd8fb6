//! What `COMMAND` says of each command that the simulation knows: arity, flags, and where the keys are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use keyslot::testkit::sim::Profile;
use keyslot::testkit::{LocalCluster, SimCluster};

use super::side::Side;
use super::wire::Frame;

/// Arity, first key, last key, step, and the flags.
type Entry = (Vec<String>, BTreeSet<String>);

pub(crate) async fn compare(real: &LocalCluster, profile: Profile, report: &mut String) -> usize {
    let simulated = SimCluster::builder().profile(profile).replicas(1).start().await.unwrap();
    let real = table(&mut Side::real(real, 2).await).await;
    let simulated = table(&mut Side::simulated(&simulated, 2).await).await;
    if simulated.is_empty() {
        report.push_str("COMMAND of the simulation lists nothing\n");
    }
    for (name, entry) in &simulated {
        match real.get(name) {
            Some(same) if same == entry => {}
            other => {
                _ = writeln!(
                    report,
                    "COMMAND {name}\n    real      {}\n    simulated {}",
                    show(other),
                    show(Some(entry))
                );
            }
        }
    }
    simulated.len()
}

fn show(entry: Option<&Entry>) -> String {
    let Some((numbers, flags)) = entry else { return "no such command".to_owned() };
    format!("{} {:?}", numbers.join(" "), flags)
}

async fn table(side: &mut Side<'_>) -> BTreeMap<String, Entry> {
    let mut table = BTreeMap::new();
    if let Some(commands) = side.ask("p0", "COMMAND").await {
        commands.parts().iter().for_each(|entry| note(entry, &mut table));
    }
    table
}

fn note(entry: &Frame, table: &mut BTreeMap<String, Entry>) {
    let text = |frame: &Frame| String::from_utf8_lossy(frame.payload().unwrap_or_default()).into_owned();
    let parts = entry.parts();
    let [name, arity, flags, first, last, step, rest @ ..] = parts else { return };
    let numbers = [arity, first, last, step].map(text).to_vec();
    table.insert(text(name), (numbers, flags.parts().iter().map(text).collect()));
    // ACL categories, tips, key specifications, subcommands.
    if let Some(subcommands) = rest.get(3) {
        subcommands.parts().iter().for_each(|entry| note(entry, table));
    }
}
