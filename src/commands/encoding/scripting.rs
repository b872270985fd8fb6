use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::FlushMode;

#[test]
fn scripts_are_encoded_as_the_servers_read_them() {
    encodes! {
        Typed::eval("return 1", ["k", "l"], ["a", "b"]) => "EVAL 'return 1' 2 k l a b";
        Typed::eval_ro("return 1", "k", "a") => "EVAL_RO 'return 1' 1 k a";
        Typed::evalsha("abc", [""; 0], 7) => "EVALSHA abc 0 7";
        Typed::evalsha_ro("abc", "k", [0; 0]) => "EVALSHA_RO abc 1 k";
        Typed::script_load("return 1") => "SCRIPT LOAD 'return 1'";
        Typed::script_exists(["abc", "def"]) => "SCRIPT EXISTS abc def";
        Typed::script_flush() => "SCRIPT FLUSH";
        Typed::script_flush_options(FlushMode::Async) => "SCRIPT FLUSH ASYNC";
        Typed::script_kill() => "SCRIPT KILL";
        Typed::script_show("abc") => "SCRIPT SHOW abc";
    }
}
