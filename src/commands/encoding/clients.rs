use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::PauseMode;

#[test]
fn commands_for_connections_are_encoded_as_the_servers_read_them() {
    encodes! {
        Typed::client_list() => "CLIENT LIST";
        Typed::client_info() => "CLIENT INFO";
        Typed::client_id() => "CLIENT ID";
        Typed::client_getname() => "CLIENT GETNAME";
        Typed::client_kill_id(7) => "CLIENT KILL ID 7";
        Typed::client_kill_addr("127.0.0.1:5000") => "CLIENT KILL ADDR 127.0.0.1:5000";
        Typed::client_pause(100, PauseMode::Write) => "CLIENT PAUSE 100 WRITE";
        Typed::client_unpause() => "CLIENT UNPAUSE";
        Typed::client_unblock(7) => "CLIENT UNBLOCK 7";
        Typed::client_unblock_error(7) => "CLIENT UNBLOCK 7 ERROR";
    }
}
