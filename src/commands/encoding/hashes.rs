use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::{ExpireCondition, Expiry, HsetexOptions, ScanOptions};

#[test]
fn hashes_are_encoded_as_the_servers_read_them() {
    encodes! {
        Typed::hset("h", [("a", 1), ("b", 2)]) => "HSET h a 1 b 2";
        Typed::hsetnx("h", "f", "v") => "HSETNX h f v";
        Typed::hmset("h", [("a", 1), ("b", 2)]) => "HMSET h a 1 b 2";
        Typed::hsetex("h", [("a", 1), ("b", 2)], HsetexOptions::new().fnx().expiry(Expiry::ExAt(7)))
            => "HSETEX h FNX EXAT 7 FIELDS 2 a 1 b 2";
        Typed::hsetex("h", [("a", 1)], HsetexOptions::new().fxx().keepttl()) => "HSETEX h FXX KEEPTTL FIELDS 1 a 1";
        Typed::hget("h", "f") => "HGET h f";
        Typed::hmget("h", ["f", "g"]) => "HMGET h f g";
        Typed::hgetex("h", ["f", "g"], Expiry::Px(5)) => "HGETEX h PX 5 FIELDS 2 f g";
        Typed::hgetex_persist("h", "f") => "HGETEX h PERSIST FIELDS 1 f";
        Typed::hgetdel("h", ["f", "g"]) => "HGETDEL h FIELDS 2 f g";
        Typed::hgetall("h") => "HGETALL h";
        Typed::hkeys("h") => "HKEYS h";
        Typed::hvals("h") => "HVALS h";
        Typed::hdel("h", ["f", "g"]) => "HDEL h f g";
        Typed::hexists("h", "f") => "HEXISTS h f";
        Typed::hlen("h") => "HLEN h";
        Typed::hstrlen("h", "f") => "HSTRLEN h f";
        Typed::hincrby("h", "f", -1) => "HINCRBY h f -1";
        Typed::hincrbyfloat("h", "f", 1.5) => "HINCRBYFLOAT h f 1.5";
        Typed::hrandfield("h") => "HRANDFIELD h";
        Typed::hrandfield_count("h", -3) => "HRANDFIELD h -3";
        Typed::hrandfield_with_values("h", 3) => "HRANDFIELD h 3 WITHVALUES";
        Typed::hscan("h", 0, ScanOptions::new()) => "HSCAN h 0";
        Typed::hscan("h", 7, ScanOptions::new().matching("a*").count(20)) => "HSCAN h 7 MATCH a* COUNT 20";
        Typed::hscan_novalues("h", 0, ScanOptions::new().count(20)) => "HSCAN h 0 COUNT 20 NOVALUES";
        Typed::hexpire("h", 9, ["f", "g"]) => "HEXPIRE h 9 FIELDS 2 f g";
        Typed::hexpire_options("h", 9, ExpireCondition::Nx, "f") => "HEXPIRE h 9 NX FIELDS 1 f";
        Typed::hpexpire("h", 9, "f") => "HPEXPIRE h 9 FIELDS 1 f";
        Typed::hpexpire_options("h", 9, ExpireCondition::Xx, "f") => "HPEXPIRE h 9 XX FIELDS 1 f";
        Typed::hexpireat("h", 9, "f") => "HEXPIREAT h 9 FIELDS 1 f";
        Typed::hexpireat_options("h", 9, ExpireCondition::Gt, "f") => "HEXPIREAT h 9 GT FIELDS 1 f";
        Typed::hpexpireat("h", 9, "f") => "HPEXPIREAT h 9 FIELDS 1 f";
        Typed::hpexpireat_options("h", 9, ExpireCondition::Lt, "f") => "HPEXPIREAT h 9 LT FIELDS 1 f";
        Typed::httl("h", "f") => "HTTL h FIELDS 1 f";
        Typed::hpttl("h", "f") => "HPTTL h FIELDS 1 f";
        Typed::hexpiretime("h", "f") => "HEXPIRETIME h FIELDS 1 f";
        Typed::hpexpiretime("h", "f") => "HPEXPIRETIME h FIELDS 1 f";
        Typed::hpersist("h", ["f", "g"]) => "HPERSIST h FIELDS 2 f g";
    }
}
