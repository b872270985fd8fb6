//! The simulated cluster is held against real servers: what they answer to the same bytes is the same, but for ids,
//! ports and times. Where it is not, the simulation is wrong.
//!
//! `KEYSLOT_CONFORMANCE=strings,lists` plays only these transcripts; `KEYSLOT_TRANSCRIPTS=<folder>` writes there what
//! the real servers answered.

mod conformance;

macro_rules! on_every_server {
    ($($version:ident $folder:literal $profile:ident;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $version() {
            let server = keyslot::testkit::Server::named($folder).unwrap();
            conformance::hold_against(server, keyslot::testkit::sim::Profile::$profile).await;
        }
    )*};
}

mod the_simulation_answers_as {
    use super::conformance;

    on_every_server! {
        redis_6_2 "redis-6.2" Redis62;
        redis_7_0 "redis-7.0" Redis70;
        redis_8_2 "redis-8.2" Redis82;
        valkey_8_1 "valkey-8.1" Valkey81;
        valkey_9_1 "valkey-9.1" Valkey91;
    }
}
