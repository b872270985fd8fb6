use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::{ExpireCondition, RestoreOptions, SortOptions};

#[test]
fn commands_for_keys_are_encoded_as_the_servers_read_them() {
    encodes! {
        Typed::del("a") => "DEL a";
        Typed::unlink(["a", "b"]) => "UNLINK a b";
        Typed::exists(["a", "b"].as_slice()) => "EXISTS a b";
        Typed::touch(vec!["a", "b"]) => "TOUCH a b";
        Typed::expire("k", 9) => "EXPIRE k 9";
        Typed::expire_options("k", 9, ExpireCondition::Nx) => "EXPIRE k 9 NX";
        Typed::pexpire("k", 9) => "PEXPIRE k 9";
        Typed::pexpire_options("k", 9, ExpireCondition::Xx) => "PEXPIRE k 9 XX";
        Typed::expireat("k", 9) => "EXPIREAT k 9";
        Typed::expireat_options("k", 9, ExpireCondition::Gt) => "EXPIREAT k 9 GT";
        Typed::pexpireat("k", 9) => "PEXPIREAT k 9";
        Typed::pexpireat_options("k", 9, ExpireCondition::Lt) => "PEXPIREAT k 9 LT";
        Typed::ttl("k") => "TTL k";
        Typed::pttl("k") => "PTTL k";
        Typed::expiretime("k") => "EXPIRETIME k";
        Typed::pexpiretime("k") => "PEXPIRETIME k";
        Typed::persist("k") => "PERSIST k";
        Typed::key_type("k") => "TYPE k";
        Typed::rename("k", "l") => "RENAME k l";
        Typed::renamenx("k", "l") => "RENAMENX k l";
        Typed::copy("k", "l") => "COPY k l";
        Typed::copy_replace("k", "l") => "COPY k l REPLACE";
        Typed::dump("k") => "DUMP k";
        Typed::restore("k", 0, b"bytes") => "RESTORE k 0 bytes";
        Typed::restore_options("k", 9, b"bytes", RestoreOptions::new().replace().absttl().idletime(3))
            => "RESTORE k 9 bytes REPLACE ABSTTL IDLETIME 3";
        Typed::restore_options("k", 0, b"bytes", RestoreOptions::new().idletime(3).freq(4))
            => "RESTORE k 0 bytes FREQ 4";
        Typed::object_encoding("k") => "OBJECT ENCODING k";
        Typed::object_freq("k") => "OBJECT FREQ k";
        Typed::object_idletime("k") => "OBJECT IDLETIME k";
        Typed::object_refcount("k") => "OBJECT REFCOUNT k";
        Typed::memory_usage("k") => "MEMORY USAGE k";
        Typed::memory_usage_samples("k", 0) => "MEMORY USAGE k SAMPLES 0";
        Typed::sort("k") => "SORT k";
        Typed::sort_options("k", SortOptions::new().by("w_*").limit(0, 5).get("#").get("o_*").desc().alpha())
            => "SORT k BY w_* LIMIT 0 5 GET # GET o_* DESC ALPHA";
        Typed::sort_store("k", "d", SortOptions::new().desc()) => "SORT k DESC STORE d";
        Typed::sort_ro("k", SortOptions::new().alpha()) => "SORT_RO k ALPHA";
        Typed::keys("a*") => "KEYS a*";
        Typed::randomkey() => "RANDOMKEY";
    }
}
