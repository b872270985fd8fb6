//! Real clusters that are built, checked, reshaped, broken and mended; `redis-cli --cluster check` agrees after each step.

mod mending;
mod moves;
mod story;
mod support;

use crate::live_support::on_every_server;
use mending::{
    the_slots_of_a_dead_node_are_left_to_it_until_they_are_given_up,
    two_owners_of_a_slot_are_settled_without_losing_keys, what_was_broken_is_mended,
};
use moves::{
    a_key_of_100_mb_moves_whatever_the_time_out, a_new_primary_has_the_functions_of_the_others,
    an_interrupted_move_is_gone_on_with,
};
use story::a_cluster_lives_from_its_making_to_the_loss_of_a_node;

on_every_server! {
    all:
        a_cluster_lives_from_its_making_to_the_loss_of_a_node
        what_was_broken_is_mended
        an_interrupted_move_is_gone_on_with
        the_slots_of_a_dead_node_are_left_to_it_until_they_are_given_up;
    since_7_0:
        a_new_primary_has_the_functions_of_the_others;
    valkey_9_1:
        two_owners_of_a_slot_are_settled_without_losing_keys;
}

/// One server of each way of moving: with the oldest and the newest `MIGRATE`, and all at once.
mod large {
    use keyslot::testkit::Server;

    use super::a_key_of_100_mb_moves_whatever_the_time_out;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn redis_6_2() {
        a_key_of_100_mb_moves_whatever_the_time_out(Server::named("redis-6.2").unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn redis_8_2() {
        a_key_of_100_mb_moves_whatever_the_time_out(Server::named("redis-8.2").unwrap()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn valkey_9_1() {
        a_key_of_100_mb_moves_whatever_the_time_out(Server::named("valkey-9.1").unwrap()).await;
    }
}
