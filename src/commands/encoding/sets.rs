use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::ScanOptions;

#[test]
fn sets_are_encoded_as_the_servers_read_them() {
    encodes! {
        Typed::sadd("s", ["a", "b"]) => "SADD s a b";
        Typed::srem("s", "a") => "SREM s a";
        Typed::smembers("s") => "SMEMBERS s";
        Typed::sismember("s", "a") => "SISMEMBER s a";
        Typed::smismember("s", ["a", "b"]) => "SMISMEMBER s a b";
        Typed::scard("s") => "SCARD s";
        Typed::spop("s") => "SPOP s";
        Typed::spop_count("s", 2) => "SPOP s 2";
        Typed::srandmember("s") => "SRANDMEMBER s";
        Typed::srandmember_count("s", -2) => "SRANDMEMBER s -2";
        Typed::smove("s", "t", "a") => "SMOVE s t a";
        Typed::sscan("s", 5, ScanOptions::new().matching("a*")) => "SSCAN s 5 MATCH a*";
        Typed::sunion(["s", "t"]) => "SUNION s t";
        Typed::sunionstore("d", ["s", "t"]) => "SUNIONSTORE d s t";
        Typed::sinter(["s", "t"]) => "SINTER s t";
        Typed::sinterstore("d", ["s", "t"]) => "SINTERSTORE d s t";
        Typed::sintercard(["s", "t"]) => "SINTERCARD 2 s t";
        Typed::sintercard_limit(["s", "t"], 7) => "SINTERCARD 2 s t LIMIT 7";
        Typed::sdiff(["s", "t"]) => "SDIFF s t";
        Typed::sdiffstore("d", ["s", "t"]) => "SDIFFSTORE d s t";
    }
}
