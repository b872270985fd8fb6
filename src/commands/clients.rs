//! The connections of a node.

macro_rules! client_commands {
    ($render:ident) => {
        $render! {
            /// [CLIENT LIST](https://redis.io/docs/latest/commands/client-list/): a line for each connection of a node.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 2.4, O(n) in the number of connections.
            fn client_list() -> String =
                known!("CLIENT LIST");

            /// [CLIENT INFO](https://redis.io/docs/latest/commands/client-info/): the line of the connection that the question comes by.
            ///
            /// Since 6.2, O(1).
            fn client_info() -> String =
                known!("CLIENT INFO");

            /// [CLIENT ID](https://redis.io/docs/latest/commands/client-id/): the number of the connection that the question comes by; this client has several, and commands share them.
            ///
            /// Since 5.0, O(1).
            fn client_id() -> u64 =
                known!("CLIENT ID");

            /// [CLIENT GETNAME](https://redis.io/docs/latest/commands/client-getname/): the name that the URL or the builder gives this client's connections.
            ///
            /// Since 2.6.9, O(1).
            fn client_getname() -> Option<String> =
                known!("CLIENT GETNAME");

            /// [CLIENT KILL](https://redis.io/docs/latest/commands/client-kill/): ends a connection; how many there were.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 2.8.12, O(n) in the number of connections.
            fn client_kill_id(id: u64) -> u64 =
                known!("CLIENT KILL").arg("ID").arg(id);

            /// [CLIENT KILL](https://redis.io/docs/latest/commands/client-kill/): ends the connection from this address and port; how many there were.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 2.8.12, O(n) in the number of connections.
            fn client_kill_addr(address: impl ToArg) -> u64 =
                known!("CLIENT KILL").arg("ADDR").arg(address);

            /// [CLIENT PAUSE](https://redis.io/docs/latest/commands/client-pause/): lets a node hold back commands for some time.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 2.9.50 (the mode 6.2), O(1).
            fn client_pause(milliseconds: u64, mode: options::PauseMode) -> () =
                known!("CLIENT PAUSE").arg(milliseconds).arg(mode);

            /// [CLIENT UNPAUSE](https://redis.io/docs/latest/commands/client-unpause/): ends `client_pause`.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 6.2, O(n) in the number of connections.
            fn client_unpause() -> () =
                known!("CLIENT UNPAUSE");

            /// [CLIENT UNBLOCK](https://redis.io/docs/latest/commands/client-unblock/): lets a blocking command end as if its time were over; tells whether there was one.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 5.0, O(log n) in the number of connections.
            fn client_unblock(id: u64) -> bool =
                known!("CLIENT UNBLOCK").arg(id);

            /// [CLIENT UNBLOCK](https://redis.io/docs/latest/commands/client-unblock/): lets a blocking command end with an `UNBLOCKED` error; tells whether there was one.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 5.0, O(log n) in the number of connections.
            fn client_unblock_error(id: u64) -> bool =
                known!("CLIENT UNBLOCK").arg(id).arg("ERROR");
        }
    };
}

pub(crate) use client_commands;
