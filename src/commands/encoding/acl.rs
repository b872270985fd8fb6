use crate::commands::encoding::{Typed, encodes};

#[test]
fn users_and_their_rules_are_encoded_as_the_servers_read_them() {
    encodes! {
        Typed::acl_setuser("ann", ["on", "~app:*", "+get"]) => "ACL SETUSER ann on ~app:* +get";
        Typed::acl_deluser(["ann", "bob"]) => "ACL DELUSER ann bob";
        Typed::acl_getuser("ann") => "ACL GETUSER ann";
        Typed::acl_list() => "ACL LIST";
        Typed::acl_users() => "ACL USERS";
        Typed::acl_whoami() => "ACL WHOAMI";
        Typed::acl_cat() => "ACL CAT";
        Typed::acl_cat_category("geo") => "ACL CAT geo";
        Typed::acl_dryrun("ann", "set", ["k", "v"]) => "ACL DRYRUN ann set k v";
        Typed::acl_genpass() => "ACL GENPASS";
        Typed::acl_genpass_bits(64) => "ACL GENPASS 64";
        Typed::acl_log(5) => "ACL LOG 5";
        Typed::acl_log_reset() => "ACL LOG RESET";
        Typed::acl_load() => "ACL LOAD";
        Typed::acl_save() => "ACL SAVE";
    }
}
