//! What concerns a connection or a node as a whole, byte by byte: greetings, transactions, pub/sub, tracking, `WAIT`.

mod greeting;
mod introspection;
mod pubsub;
mod tracking;
mod transactions;
mod wait;

use keyslot::testkit::sim::{Profile, SimCluster};

use crate::support::Wire;

/// One primary with all slots, and a connection to it.
async fn alone(profile: Profile) -> (SimCluster, Wire) {
    let cluster = SimCluster::builder().primaries(1).profile(profile).start_in_memory().unwrap();
    let wire = Wire::open(&cluster, &cluster.nodes()[0]).await;
    (cluster, wire)
}

/// On each of these profiles, on a connection of its own: every line with what it is answered.
async fn hold(profiles: &[Profile], talk: &[(&str, &str)]) {
    for profile in profiles {
        let (_cluster, mut wire) = alone(*profile).await;
        for (line, wanted) in talk {
            assert_eq!(wire.says(line).await, *wanted, "{line} on {profile}");
        }
    }
}

/// All but Redis 6.2.
const SINCE_70: &[Profile] = &[Profile::Redis70, Profile::Redis82, Profile::Valkey81, Profile::Valkey91];
const REDIS: &[Profile] = &[Profile::Redis62, Profile::Redis70, Profile::Redis82];
