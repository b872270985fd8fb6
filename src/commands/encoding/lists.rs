use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::{LposOptions, Side};

#[test]
fn lists_are_encoded_as_the_servers_read_them() {
    encodes! {
        Typed::lpush("l", "v") => "LPUSH l v";
        Typed::rpush("l", ["v", "w"]) => "RPUSH l v w";
        Typed::lpushx("l", ["v", "w"]) => "LPUSHX l v w";
        Typed::rpushx("l", "v") => "RPUSHX l v";
        Typed::lpop("l") => "LPOP l";
        Typed::lpop_count("l", 3) => "LPOP l 3";
        Typed::rpop("l") => "RPOP l";
        Typed::rpop_count("l", 3) => "RPOP l 3";
        Typed::lrange("l", 0, -1) => "LRANGE l 0 -1";
        Typed::llen("l") => "LLEN l";
        Typed::lindex("l", -2) => "LINDEX l -2";
        Typed::lset("l", 1, "v") => "LSET l 1 v";
        Typed::linsert_before("l", "p", "v") => "LINSERT l BEFORE p v";
        Typed::linsert_after("l", "p", "v") => "LINSERT l AFTER p v";
        Typed::lrem("l", -1, "v") => "LREM l -1 v";
        Typed::ltrim("l", 0, 9) => "LTRIM l 0 9";
        Typed::lpos("l", "v") => "LPOS l v";
        Typed::lpos_options("l", "v", LposOptions::new().rank(-1).maxlen(100)) => "LPOS l v RANK -1 MAXLEN 100";
        Typed::lpos_count("l", "v", 0, LposOptions::new().rank(2)) => "LPOS l v COUNT 0 RANK 2";
        Typed::lmove("l", "m", Side::Left, Side::Right) => "LMOVE l m LEFT RIGHT";
        Typed::rpoplpush("l", "m") => "RPOPLPUSH l m";
        Typed::lmpop(["l", "m"], Side::Left) => "LMPOP 2 l m LEFT";
        Typed::lmpop_count("l", Side::Right, 5) => "LMPOP 1 l RIGHT COUNT 5";
        Typed::blpop(["l", "m"], 1.5) => "BLPOP l m 1.5";
        Typed::brpop("l", 0.0) => "BRPOP l 0";
        Typed::blmove("l", "m", Side::Right, Side::Left, 2.0) => "BLMOVE l m RIGHT LEFT 2";
        Typed::brpoplpush("l", "m", 2.0) => "BRPOPLPUSH l m 2";
        Typed::blmpop(0.1, ["l", "m"], Side::Left) => "BLMPOP 0.1 2 l m LEFT";
        Typed::blmpop_count(0.1, "l", Side::Left, 5) => "BLMPOP 0.1 1 l LEFT COUNT 5";
    }
}
