use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::{FlushMode, FunctionListOptions, RestorePolicy};

#[test]
fn functions_are_encoded_as_the_servers_read_them() {
    encodes! {
        Typed::fcall("f", ["k", "l"], ["a", "b"]) => "FCALL f 2 k l a b";
        Typed::fcall_ro("f", "k", [""; 0]) => "FCALL_RO f 1 k";
        Typed::function_load("code") => "FUNCTION LOAD code";
        Typed::function_load_replace("code") => "FUNCTION LOAD REPLACE code";
        Typed::function_delete("lib") => "FUNCTION DELETE lib";
        Typed::function_flush() => "FUNCTION FLUSH";
        Typed::function_flush_options(FlushMode::Sync) => "FUNCTION FLUSH SYNC";
        Typed::function_list() => "FUNCTION LIST";
        Typed::function_list_options(FunctionListOptions::new().libraryname("l*").withcode())
            => "FUNCTION LIST LIBRARYNAME l* WITHCODE";
        Typed::function_dump() => "FUNCTION DUMP";
        Typed::function_restore(b"bytes") => "FUNCTION RESTORE bytes";
        Typed::function_restore_options(b"bytes", RestorePolicy::Replace) => "FUNCTION RESTORE bytes REPLACE";
        Typed::function_kill() => "FUNCTION KILL";
        Typed::function_stats() => "FUNCTION STATS";
    }
}
