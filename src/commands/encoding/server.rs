use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::FlushMode;

#[test]
fn commands_for_servers_are_encoded_as_they_read_them() {
    encodes! {
        Typed::ping() => "PING";
        Typed::echo("m") => "ECHO m";
        Typed::dbsize() => "DBSIZE";
        Typed::flushall() => "FLUSHALL";
        Typed::flushall_options(FlushMode::Async) => "FLUSHALL ASYNC";
        Typed::flushdb() => "FLUSHDB";
        Typed::flushdb_options(FlushMode::Sync) => "FLUSHDB SYNC";
        Typed::info() => "INFO";
        Typed::info_sections(["memory", "cpu"]) => "INFO memory cpu";
        Typed::time() => "TIME";
        Typed::role() => "ROLE";
        Typed::lastsave() => "LASTSAVE";
        Typed::save() => "SAVE";
        Typed::bgsave() => "BGSAVE";
        Typed::bgrewriteaof() => "BGREWRITEAOF";
        Typed::lolwut() => "LOLWUT";
        Typed::config_get("max*") => "CONFIG GET max*";
        Typed::config_set([("a", "1"), ("b", "2")]) => "CONFIG SET a 1 b 2";
        Typed::config_resetstat() => "CONFIG RESETSTAT";
        Typed::config_rewrite() => "CONFIG REWRITE";
        Typed::command_count() => "COMMAND COUNT";
        Typed::command_info(["get", "set"]) => "COMMAND INFO get set";
        Typed::command_docs("get") => "COMMAND DOCS get";
        Typed::command_list() => "COMMAND LIST";
        Typed::command_getkeys(["get", "k"]) => "COMMAND GETKEYS get k";
        Typed::command_getkeysandflags(["get", "k"]) => "COMMAND GETKEYSANDFLAGS get k";
        Typed::module_list() => "MODULE LIST";
    }
}
