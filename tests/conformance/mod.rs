//! Transcripts of raw commands, played to a real cluster and to a simulated one of the same version: where the replies
//! differ, the simulation is wrong. How a transcript is written is said in `script`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests report by panicking")]

mod compare;
mod metadata;
mod script;
mod side;
mod version;
mod wire;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, Instant};

use keyslot::testkit::sim::Profile;
use keyslot::testkit::{LocalCluster, Server, SimCluster};

use self::compare::{agree, canonical};
use self::script::{Line, parse};
use self::side::Side;
use self::version::Version;

macro_rules! transcripts {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("transcripts/", $name, ".txt")))),*]
    };
}

/// Those that change the cluster for the rest are the last.
const TRANSCRIPTS: [(&str, &str); 19] = transcripts![
    "topology" "strings" "keys" "hashes" "lists" "blocking" "sets" "sorted_sets" "streams" "transactions"
    "connection" "unknown" "pubsub" "redirects" "cluster_errors" "endpoints" "coverage" "migration"
    "failover"
];

/// Plays everything to both, and reports all differences together.
pub(crate) async fn hold_against(server: Server, profile: Profile) {
    let version = Version(profile);
    let begin = Instant::now();
    let real = LocalCluster::builder().primaries(3).replicas(1).server(server).start().await.unwrap();
    println!("{profile}: a real cluster after {:?}", begin.elapsed());
    let mut report = String::new();
    let mut compared = 0;
    for (name, text) in TRANSCRIPTS.iter().filter(|(name, _)| wanted(name)) {
        let begin = Instant::now();
        let lines = parse(text);
        let mut count = 0;
        let mut reported = BTreeSet::new();
        for resp in [2, 3] {
            let lines: Vec<&Line> = lines.iter().filter(|line| line.holds_for(version, resp)).collect();
            // The transcript runs through the simulation in a few milliseconds: a delay of one would be seen at a
            // replica, where the real one, which takes longer for each line, has long caught up.
            let builder =
                SimCluster::builder().replicas(1).profile(profile).replication_delay(Duration::ZERO);
            let simulated = builder.start().await.unwrap();
            let mut sides = (Side::real(&real, resp).await, Side::simulated(&simulated, resp).await);
            let mut said = String::new();
            let (real, simulated) =
                futures::future::join(transcript(&mut sides.0, &lines), transcript(&mut sides.1, &lines))
                    .await;
            for ((line, real), simulated) in lines.iter().zip(&real).zip(&simulated) {
                count += 1;
                let same = agree(real, simulated, line, (&sides.0, &sides.1));
                let shown = || {
                    format!(
                        "{name}.txt:{} RESP{resp}: {}\n    real      {}\n    simulated {}\n",
                        line.number,
                        line.text,
                        canonical(real, line, &sides.0),
                        canonical(simulated, line, &sides.1)
                    )
                };
                match (same, line.may_differ(version)) {
                    (true, None) | (false, Some(_)) => {}
                    (false, None) => {
                        // Most replies are the same in both versions of the protocol.
                        let replies = [(real, &sides.0), (simulated, &sides.1)];
                        let replies = replies.map(|(reply, side)| canonical(reply, line, side));
                        if reported.insert((line.number, replies)) {
                            report.push_str(&shown());
                        }
                    }
                    (true, Some(reason)) => {
                        _ = write!(
                            report,
                            "no difference any more, which was declared ({reason}): {}",
                            shown()
                        );
                    }
                }
                _ = writeln!(said, "{}\n      {}", line.text, canonical(real, line, &sides.0));
            }
            if let Some(folder) = std::env::var_os("KEYSLOT_TRANSCRIPTS") {
                let file = format!("{name}-RESP{resp}-{}.txt", version.name());
                std::fs::write(std::path::Path::new(&folder).join(file), said).unwrap();
            }
        }
        compared += count;
        println!("{profile}: {name}: {count} lines in {:?}", begin.elapsed());
    }
    if wanted("metadata") {
        let begin = Instant::now();
        let count = metadata::compare(&real, profile, &mut report).await;
        compared += count;
        println!("{profile}: metadata: {count} commands in {:?}", begin.elapsed());
    }
    assert!(report.is_empty(), "{profile}: of {compared} replies these differ:\n{report}");
}

/// `KEYSLOT_CONFORMANCE=strings,lists` leaves the others out.
fn wanted(name: &str) -> bool {
    std::env::var("KEYSLOT_CONFORMANCE").map_or(true, |wanted| wanted.split(',').any(|wanted| wanted == name))
}

async fn transcript(side: &mut Side<'_>, lines: &[&Line]) -> Vec<side::Outcome> {
    let mut outcomes = Vec::with_capacity(lines.len());
    for (place, line) in lines.iter().enumerate() {
        if place == 0 || line.begins_section {
            side.begin_section().await;
        }
        outcomes.push(side.play(line).await);
    }
    outcomes
}
