//! `INFO`: the sections and lines that clients and tools read.

use std::fmt::{Display, Write};

use crate::testkit::sim::call::{Answered, Call, reply};
use crate::testkit::sim::profile::Profile;
use crate::testkit::sim::refused::Refused;
use crate::testkit::sim::reply::Reply;
use crate::testkit::sim::session::Session;
use crate::testkit::sim::spec::{Keys, Spec};
use crate::testkit::sim::view::Role;

pub(in crate::testkit::sim) const COMMANDS: &[Spec] =
    &[Spec::world("info", -1, "random loading stale", Keys::None, info)];

/// Writes the lines of a section.
type Fill = fn(&Call<'_>, &mut Section);

/// In the order of the reply.
const SECTIONS: &[(&str, Fill)] = &[
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("CPU", cpu),
    ("Modules", |_, _| {}),
    ("Errorstats", |_, _| {}),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
];

#[derive(Default)]
struct Section(String);

impl Section {
    fn line(&mut self, name: impl Display, value: impl Display) {
        // A string takes everything.
        _ = write!(self.0, "{name}:{value}\r\n");
    }
}

fn info(call: &mut Call<'_>) -> Answered {
    call.world.refresh_replicas_of(call.node);
    let wanted = call.rest(1);
    if wanted.len() > 1 && call.profile() == Profile::Redis62 {
        return Err(Refused::syntax());
    }
    let is_all = wanted.iter().any(|word| {
        ["all", "default", "everything"].iter().any(|all| word.eq_ignore_ascii_case(all.as_bytes()))
    });
    let is_wanted = |name: &str| wanted.iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    let mut text = String::new();
    for (name, fill) in SECTIONS {
        if wanted.is_empty() || is_all || is_wanted(name) {
            let mut section = Section::default();
            fill(call, &mut section);
            let gap = if text.is_empty() { "" } else { "\r\n" };
            _ = write!(text, "{gap}# {name}\r\n{}", section.0);
        }
    }
    reply(Reply::Verbatim(text))
}

fn server(call: &Call<'_>, section: &mut Section) {
    let profile = call.profile();
    let node = call.world.node(call.node);
    if profile.is_valkey() {
        // For clients that know only Redis.
        section.line("redis_version", "7.2.4");
        section.line("server_name", "valkey");
        section.line("valkey_version", profile.version());
        section.line("valkey_release_stage", "ga");
        section.line("server_mode", "cluster");
    } else {
        section.line("redis_version", profile.version());
        section.line("redis_mode", "cluster");
    }
    section.line("os", "simulated");
    section.line("arch_bits", 64);
    section.line("process_id", call.node.0 + 1);
    section.line("run_id", node.run_id(call.world.settings.seed));
    section.line("tcp_port", node.addr.port());
    section.line("server_time_usec", call.world.unix_millis() * 1000);
    let uptime = call.world.begin.elapsed().as_secs();
    section.line("uptime_in_seconds", uptime);
    section.line("uptime_in_days", uptime / 86400);
    section.line("config_file", "");
    section.line("io_threads_active", 0);
    if profile.is_valkey() {
        section.line("availability_zone", "");
    }
}

fn clients(call: &Call<'_>, section: &mut Section) {
    let world = &*call.world;
    let all = || world.sessions.values().filter(|session| session.node == call.node).chain([&*call.session]);
    let count = |is: fn(&Session) -> bool| all().filter(|session| is(session)).count();
    section.line("connected_clients", all().count());
    section.line("cluster_connections", world.node(call.node).view.members().len().saturating_sub(1) * 2);
    section.line("maxclients", 10_000);
    section.line("blocked_clients", count(|session| session.blocked.is_some()));
    section.line("tracking_clients", count(|session| session.tracking.is_some()));
    if call.profile().since_7_2() {
        section.line("pubsub_clients", count(Session::is_subscriber));
        section.line("watching_clients", count(|session| !session.watched.is_empty()));
    }
}

fn memory(call: &Call<'_>, section: &mut Section) {
    let used = 1_000_000 + call.world.node(call.node).keys.len() * 100;
    section.line("used_memory", used);
    section.line("used_memory_peak", used);
    section.line("maxmemory", 0);
    section.line("maxmemory_human", "0B");
    section.line("maxmemory_policy", "noeviction");
}

fn persistence(_: &Call<'_>, section: &mut Section) {
    section.line("loading", 0);
    section.line("async_loading", 0);
    section.line("rdb_bgsave_in_progress", 0);
    section.line("aof_enabled", 0);
}

fn stats(call: &Call<'_>, section: &mut Section) {
    let node = call.world.node(call.node);
    let channels = call.world.sessions.values().filter(|session| session.node == call.node);
    section.line("total_connections_received", node.connections_accepted);
    section.line("total_commands_processed", node.received.values().sum::<u64>());
    section.line("pubsub_channels", channels.map(|session| session.channels.len()).sum::<usize>());
}

fn replication(call: &Call<'_>, section: &mut Section) {
    let world = &*call.world;
    let profile = call.profile();
    let node = world.node(call.node);
    let offset = node.offset;
    match node.role() {
        Role::Primary => section.line("role", "master"),
        Role::ReplicaOf(primary) => {
            let primary = world.node(primary);
            section.line("role", "slave");
            section.line("master_host", primary.addr.host());
            section.line("master_port", primary.addr.port());
            section.line("master_link_status", if primary.is_on_bus() { "up" } else { "down" });
            section.line("master_last_io_seconds_ago", 0);
            section.line("master_sync_in_progress", 0);
            if profile.since_7_0() {
                section.line("slave_read_repl_offset", offset);
            }
            section.line("slave_repl_offset", offset);
            section.line("slave_priority", 100);
            section.line("slave_read_only", 1);
            section.line("replica_announced", 1);
        }
    }
    let replicas: Vec<_> = node
        .view
        .replicas_of(call.node)
        .map(|replica| world.node(replica))
        .filter(|replica| replica.is_on_bus())
        .collect();
    section.line("connected_slaves", replicas.len());
    for (place, replica) in replicas.into_iter().enumerate() {
        let kind = if profile.is_valkey() { ",type=replica" } else { "" };
        let (host, port, applied) = (replica.addr.host(), replica.addr.port(), replica.offset);
        section.line(
            format_args!("slave{place}"),
            format_args!("ip={host},port={port},state=online,offset={applied},lag=0{kind}"),
        );
    }
    if profile.is_valkey() {
        section.line("replicas_waiting_psync", 0);
    }
    section.line("master_failover_state", "no-failover");
    section.line("master_replid", node.replication_id(world.settings.seed));
    section.line("master_replid2", "0".repeat(40));
    section.line("master_repl_offset", offset);
    section.line("second_repl_offset", -1);
    section.line("repl_backlog_active", 1);
    section.line("repl_backlog_size", if profile.is_valkey() { 10_485_760 } else { 1_048_576 });
    section.line("repl_backlog_first_byte_offset", 1);
    section.line("repl_backlog_histlen", offset);
}

fn cpu(_: &Call<'_>, section: &mut Section) {
    section.line("used_cpu_sys", "0.000000");
    section.line("used_cpu_user", "0.000000");
}

fn cluster(_: &Call<'_>, section: &mut Section) {
    section.line("cluster_enabled", 1);
}

fn keyspace(call: &Call<'_>, section: &mut Section) {
    let node = call.world.node(call.node);
    let keys = node.keys.len();
    if keys == 0 {
        return;
    }
    let expires = node.keys.keys().filter(|(_, _, entry)| entry.expires_at.is_some()).count();
    let more = match call.profile() {
        Profile::Redis82 | Profile::Redis84 => ",subexpiry=0",
        Profile::Valkey91 => ",keys_with_volatile_items=0",
        Profile::Redis62 | Profile::Redis70 | Profile::Valkey81 => "",
    };
    section.line("db0", format_args!("keys={keys},expires={expires},avg_ttl=0{more}"));
}
