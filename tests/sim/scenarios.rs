//! The scenarios that run on real servers too, each on a new simulated cluster of each version.

#[path = "../scenarios/mod.rs"]
mod shared;

use keyslot::testkit::sim::Profile;

macro_rules! on_simulated_servers {
    ($($kind:ident: $($scenario:ident)* ;)*) => {$($(
        mod $scenario {
            use super::Profile;
            use super::shared::$kind::$scenario as scenario;
            use super::shared::stage::Simulated;

            async fn on(profile: Profile) {
                scenario(&Simulated::start(profile)).await;
            }

            #[tokio::test(start_paused = true)]
            async fn redis_6_2() {
                on(Profile::Redis62).await;
            }

            #[tokio::test(start_paused = true)]
            async fn redis_7_0() {
                on(Profile::Redis70).await;
            }

            #[tokio::test(start_paused = true)]
            async fn redis_8_2() {
                on(Profile::Redis82).await;
            }

            #[tokio::test(start_paused = true)]
            async fn valkey_8_1() {
                on(Profile::Valkey81).await;
            }

            #[tokio::test(start_paused = true)]
            async fn valkey_9_1() {
                on(Profile::Valkey91).await;
            }
        }
    )*)*};
}

shared::all_scenarios!(on_simulated_servers);
