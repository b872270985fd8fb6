//! Scenarios that are written once and run on a simulated cluster and on real servers of each version: what a client
//! lives through must be the same on both.

#![allow(
    dead_code,
    unused_macros,
    unused_imports,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking, and each of the two test programs uses its part of it"
)]

pub(crate) mod nodes;
pub(crate) mod slots;
pub(crate) mod stage;
#[path = "../conformance/wire.rs"]
mod wire;

/// Gives the names of all scenarios, by what they disturb, to a macro.
macro_rules! all_scenarios {
    ($run:ident) => {
        $run! {
            slots:
                a_slot_that_has_moved_is_found_by_one_redirect
                keys_of_a_half_moved_slot_are_found_wherever_they_are
                try_again_ends_when_the_migration_does
                commands_of_many_slots_reach_one_that_is_half_moved
                a_pipeline_runs_over_a_slot_that_moves
                a_transaction_runs_on_a_slot_that_moves
                a_waiting_pop_follows_its_slot
                nodes_without_a_name_are_reached_by_the_name_that_is_known
            ;
            nodes:
                a_stopped_node_fails_its_own_commands_only
                a_replica_that_is_promoted_by_hand_is_found
                a_waiting_pop_follows_a_failover
                a_killed_primary_is_replaced_and_returns_as_a_replica
            ;
        }
    };
}

pub(crate) use all_scenarios;
