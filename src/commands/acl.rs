//! Users and what they may do. On each node by itself: rules are set on all, questions are asked of one.

macro_rules! acl_commands {
    ($render:ident) => {
        $render! {
            /// [ACL SETUSER](https://redis.io/docs/latest/commands/acl-setuser/): makes a user or changes its rules, on all nodes.
            ///
            /// A rule that is none is an error, and nothing changes.
            ///
            /// Since 6.0, O(n) in the number of rules.
            fn acl_setuser(user: impl ToArg, rules: impl ToArgs) -> () =
                known!("ACL SETUSER").arg(user).args(rules.into_args());

            /// [ACL DELUSER](https://redis.io/docs/latest/commands/acl-deluser/): deletes users on all nodes and ends their connections; how many one of the nodes had.
            ///
            /// Since 6.0, O(n) in the number of connections.
            fn acl_deluser(users: impl ToArgs) -> u64 =
                known!("ACL DELUSER").args(users.into_args());

            /// [ACL GETUSER](https://redis.io/docs/latest/commands/acl-getuser/): the rules of a user, nil if there is none.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 6.0, O(n) in the number of rules.
            fn acl_getuser<R>(user: impl ToArg) -> R =
                known!("ACL GETUSER").arg(user);

            /// [ACL LIST](https://redis.io/docs/latest/commands/acl-list/): all users with their rules, as in a file of them.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 6.0, O(n) in the number of users.
            fn acl_list<R>() -> R =
                known!("ACL LIST");

            /// [ACL USERS](https://redis.io/docs/latest/commands/acl-users/): the names of all users.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 6.0, O(n) in the number of users.
            fn acl_users<R>() -> R =
                known!("ACL USERS");

            /// [ACL WHOAMI](https://redis.io/docs/latest/commands/acl-whoami/): the user that this client is.
            ///
            /// Since 6.0, O(1).
            fn acl_whoami() -> String =
                known!("ACL WHOAMI");

            /// [ACL CAT](https://redis.io/docs/latest/commands/acl-cat/): the categories that commands are in.
            ///
            /// Since 6.0, O(1).
            fn acl_cat<R>() -> R =
                known!("ACL CAT");

            /// [ACL CAT](https://redis.io/docs/latest/commands/acl-cat/): the commands of a category.
            ///
            /// No such category is an error.
            ///
            /// Since 6.0, O(1).
            fn acl_cat_category<R>(category: impl ToArg) -> R =
                known!("ACL CAT").arg(category);

            /// [ACL DRYRUN](https://redis.io/docs/latest/commands/acl-dryrun/): whether a user may run a command: `OK`, or why not.
            ///
            /// Since 7.0, O(1).
            fn acl_dryrun<R>(user: impl ToArg, command: impl ToArg, args: impl ToArgs) -> R =
                known!("ACL DRYRUN").arg(user).arg(command).args(args.into_args());

            /// [ACL GENPASS](https://redis.io/docs/latest/commands/acl-genpass/): a random password of 256 bits in hexadecimal.
            ///
            /// Since 6.0, O(1).
            fn acl_genpass() -> String =
                known!("ACL GENPASS");

            /// [ACL GENPASS](https://redis.io/docs/latest/commands/acl-genpass/): a random password of so many bits in hexadecimal.
            ///
            /// Since 6.0, O(1).
            fn acl_genpass_bits(bits: u64) -> String =
                known!("ACL GENPASS").arg(bits);

            /// [ACL LOG](https://redis.io/docs/latest/commands/acl-log/): the last `count` times that a node refused somebody.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 6.0, O(n) in `count`.
            fn acl_log<R>(count: u64) -> R =
                known!("ACL LOG").arg(count);

            /// [ACL LOG](https://redis.io/docs/latest/commands/acl-log/): empties that list.
            ///
            /// Of any one primary; [`Request::to`](crate::Request::to) names another node.
            ///
            /// Since 6.0, O(n) in its length.
            fn acl_log_reset() -> () =
                known!("ACL LOG").arg("RESET");

            /// [ACL LOAD](https://redis.io/docs/latest/commands/acl-load/): reads the users of a node from its file again.
            ///
            /// Without a file it is an error.
            ///
            /// Since 6.0, O(n) in the number of users.
            fn acl_load() -> () =
                known!("ACL LOAD");

            /// [ACL SAVE](https://redis.io/docs/latest/commands/acl-save/): writes the users of all nodes to their files.
            ///
            /// Without a file it is an error.
            ///
            /// Since 6.0, O(n) in the number of users.
            fn acl_save() -> () =
                known!("ACL SAVE");
        }
    };
}

pub(crate) use acl_commands;
