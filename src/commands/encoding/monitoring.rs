use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::CommandLog;

#[test]
fn what_servers_have_noted_is_asked_as_they_read_it() {
    encodes! {
        Typed::slowlog_get(-1) => "SLOWLOG GET -1";
        Typed::slowlog_len() => "SLOWLOG LEN";
        Typed::slowlog_reset() => "SLOWLOG RESET";
        Typed::commandlog_get(5, CommandLog::LargeReply) => "COMMANDLOG GET 5 LARGE-REPLY";
        Typed::commandlog_len(CommandLog::LargeRequest) => "COMMANDLOG LEN LARGE-REQUEST";
        Typed::commandlog_reset(CommandLog::Slow) => "COMMANDLOG RESET SLOW";
        Typed::latency_latest() => "LATENCY LATEST";
        Typed::latency_history("command") => "LATENCY HISTORY command";
        Typed::latency_histogram(["get", "set"]) => "LATENCY HISTOGRAM get set";
        Typed::latency_graph("command") => "LATENCY GRAPH command";
        Typed::latency_doctor() => "LATENCY DOCTOR";
        Typed::latency_reset(["command", "fork"]) => "LATENCY RESET command fork";
        Typed::memory_stats() => "MEMORY STATS";
        Typed::memory_doctor() => "MEMORY DOCTOR";
        Typed::memory_malloc_stats() => "MEMORY MALLOC-STATS";
        Typed::memory_purge() => "MEMORY PURGE";
    }
}
