use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::{Expiry, LcsOptions, MsetexOptions, SetOptions};

#[test]
fn strings_are_encoded_as_the_servers_read_them() {
    encodes! {
        Typed::get("k") => "GET k";
        Typed::set("k", "a b") => "SET k 'a b'";
        Typed::set_options("k", "v", SetOptions::new()) => "SET k v";
        Typed::set_options("k", "v", SetOptions::new().ex(60).nx()) => "SET k v NX EX 60";
        Typed::set_options("k", "v", SetOptions::new().nx().px(5).xx().get()) => "SET k v XX GET PX 5";
        Typed::set_options("k", "v", SetOptions::new().ifeq(7).exat(9)) => "SET k v IFEQ 7 EXAT 9";
        Typed::set_options("k", "v", SetOptions::new().keepttl().pxat(9)) => "SET k v PXAT 9";
        Typed::set_options("k", "v", SetOptions::new().ex(1).keepttl()) => "SET k v KEEPTTL";
        Typed::setnx("k", "v") => "SETNX k v";
        Typed::setex("k", 9, "v") => "SETEX k 9 v";
        Typed::psetex("k", 9, "v") => "PSETEX k 9 v";
        Typed::getdel("k") => "GETDEL k";
        Typed::getex("k", Expiry::Ex(9)) => "GETEX k EX 9";
        Typed::getex("k", Expiry::PxAt(9)) => "GETEX k PXAT 9";
        Typed::getex_persist("k") => "GETEX k PERSIST";
        Typed::getset("k", "v") => "GETSET k v";
        Typed::append("k", "v") => "APPEND k v";
        Typed::strlen("k") => "STRLEN k";
        Typed::getrange("k", 0, -1) => "GETRANGE k 0 -1";
        Typed::substr("k", 0, -1) => "SUBSTR k 0 -1";
        Typed::setrange("k", 3, "v") => "SETRANGE k 3 v";
        Typed::incr("k") => "INCR k";
        Typed::incrby("k", -2) => "INCRBY k -2";
        Typed::incrbyfloat("k", 0.5) => "INCRBYFLOAT k 0.5";
        Typed::decr("k") => "DECR k";
        Typed::decrby("k", 2) => "DECRBY k 2";
        Typed::mget(["a", "b"]) => "MGET a b";
        Typed::mset([("a", 1), ("b", 2)]) => "MSET a 1 b 2";
        Typed::msetnx([("a", 1), ("b", 2)]) => "MSETNX a 1 b 2";
        Typed::msetex([("a", 1), ("b", 2)], MsetexOptions::new().nx().expiry(Expiry::Px(7)))
            => "MSETEX 2 a 1 b 2 NX PX 7";
        Typed::msetex([("a", 1)], MsetexOptions::new().xx().keepttl()) => "MSETEX 1 a 1 XX KEEPTTL";
        Typed::delifeq("k", "v") => "DELIFEQ k v";
        Typed::lcs("a", "b") => "LCS a b";
        Typed::lcs_len("a", "b") => "LCS a b LEN";
        Typed::lcs_idx("a", "b", LcsOptions::new().minmatchlen(4).withmatchlen())
            => "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN";
    }
}
