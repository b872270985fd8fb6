//! The scenarios of `scenarios/` on real servers of every version; `sim/scenarios.rs` runs them on simulated ones.

#![expect(clippy::unwrap_used, reason = "tests report by panicking, in their helpers too")]

mod scenarios;

use keyslot::testkit::Server;
use keyslot::testkit::sim::Profile;
use scenarios::stage::Real;

/// One cluster for each kind of scenario and version; a start takes longer than most of them.
macro_rules! on_real_servers {
    ($($kind:ident: $($scenario:ident)* ;)*) => {$(
        mod $kind {
            $crate::on_real_servers! { @versions $kind [$($scenario)*]
                redis_6_2 "redis-6.2" Redis62
                redis_7_0 "redis-7.0" Redis70
                redis_8_2 "redis-8.2" Redis82
                valkey_8_1 "valkey-8.1" Valkey81
                valkey_9_1 "valkey-9.1" Valkey91
            }
        }
    )*};
    (@versions $kind:ident $scenarios:tt $($version:ident $folder:literal $profile:ident)*) => {$(
        $crate::on_real_servers! { @test $kind $scenarios $version $folder $profile }
    )*};
    (@test $kind:ident [$($scenario:ident)*] $version:ident $folder:literal $profile:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $version() {
            let stage = $crate::start($folder, $crate::Profile::$profile).await;
            $(
                let begin = std::time::Instant::now();
                $crate::scenarios::$kind::$scenario(&stage).await;
                println!("ok {} in {:?}", stringify!($scenario), begin.elapsed());
            )*
        }
    };
}

async fn start(folder: &str, profile: Profile) -> Real {
    Real::start(Server::named(folder).unwrap(), profile).await
}

use on_real_servers;
scenarios::all_scenarios!(on_real_servers);
