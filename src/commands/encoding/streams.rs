use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::{
    References, XaddOptions, XclaimOptions, XgroupCreateOptions, XpendingOptions, XreadOptions,
    XreadgroupOptions, Xtrim,
};

#[test]
fn streams_are_encoded_as_the_servers_read_them() {
    let about = || Xtrim::maxlen(1000).approximately();
    encodes! {
        Typed::xadd("x", "*", [("a", 1), ("b", 2)]) => "XADD x * a 1 b 2";
        Typed::xadd_options("x", "*", [("a", 1)], XaddOptions::new().nomkstream()) => "XADD x NOMKSTREAM * a 1";
        Typed::xadd_options("x", "1-1", [("a", 1)], XaddOptions::new().trim(about()))
            => "XADD x MAXLEN ~ 1000 1-1 a 1";
        Typed::xtrim("x", Xtrim::maxlen(10)) => "XTRIM x MAXLEN 10";
        Typed::xtrim("x", Xtrim::minid("5-0").limit(7).references(References::Acked))
            => "XTRIM x MINID ~ 5-0 LIMIT 7 ACKED";
        Typed::xdel("x", ["1-0", "2-0"]) => "XDEL x 1-0 2-0";
        Typed::xdelex("x", References::Delete, ["1-0", "2-0"]) => "XDELEX x DELREF IDS 2 1-0 2-0";
        Typed::xlen("x") => "XLEN x";
        Typed::xrange("x", "-", "+") => "XRANGE x - +";
        Typed::xrange_count("x", "-", "+", 5) => "XRANGE x - + COUNT 5";
        Typed::xrevrange("x", "+", "-") => "XREVRANGE x + -";
        Typed::xrevrange_count("x", "+", "-", 5) => "XREVRANGE x + - COUNT 5";
        Typed::xread([("x", "0"), ("y", "$")]) => "XREAD STREAMS x y 0 $";
        Typed::xread_options([("x", "0")], XreadOptions::new().count(5).block(100))
            => "XREAD COUNT 5 BLOCK 100 STREAMS x 0";
        Typed::xreadgroup("g", "c", [("x", ">"), ("y", "0")]) => "XREADGROUP GROUP g c STREAMS x y > 0";
        Typed::xreadgroup_options("g", "c", [("x", ">")], XreadgroupOptions::new().count(5).block(0).noack())
            => "XREADGROUP GROUP g c COUNT 5 BLOCK 0 NOACK STREAMS x >";
        Typed::xack("x", "g", ["1-0", "2-0"]) => "XACK x g 1-0 2-0";
        Typed::xackdel("x", "g", References::Keep, "1-0") => "XACKDEL x g KEEPREF IDS 1 1-0";
        Typed::xpending("x", "g") => "XPENDING x g";
        Typed::xpending_range("x", "g", "-", "+", 9) => "XPENDING x g - + 9";
        Typed::xpending_options("x", "g", "-", "+", 9, XpendingOptions::new().idle(50).consumer("c"))
            => "XPENDING x g IDLE 50 - + 9 c";
        Typed::xclaim("x", "g", "c", 50, ["1-0", "2-0"]) => "XCLAIM x g c 50 1-0 2-0";
        Typed::xclaim_options("x", "g", "c", 50, "1-0",
            XclaimOptions::new().time(9).idle(5).retrycount(2).force().lastid("2-0"))
            => "XCLAIM x g c 50 1-0 IDLE 5 RETRYCOUNT 2 FORCE LASTID 2-0";
        Typed::xclaim_justid("x", "g", "c", 50, "1-0") => "XCLAIM x g c 50 1-0 JUSTID";
        Typed::xautoclaim("x", "g", "c", 50, "0-0") => "XAUTOCLAIM x g c 50 0-0";
        Typed::xautoclaim_count("x", "g", "c", 50, "0-0", 5) => "XAUTOCLAIM x g c 50 0-0 COUNT 5";
        Typed::xautoclaim_justid("x", "g", "c", 50, "0-0", 5) => "XAUTOCLAIM x g c 50 0-0 COUNT 5 JUSTID";
        Typed::xgroup_create("x", "g", "$") => "XGROUP CREATE x g $";
        Typed::xgroup_create_options("x", "g", 0, XgroupCreateOptions::new().mkstream().entriesread(5))
            => "XGROUP CREATE x g 0 MKSTREAM ENTRIESREAD 5";
        Typed::xgroup_createconsumer("x", "g", "c") => "XGROUP CREATECONSUMER x g c";
        Typed::xgroup_delconsumer("x", "g", "c") => "XGROUP DELCONSUMER x g c";
        Typed::xgroup_destroy("x", "g") => "XGROUP DESTROY x g";
        Typed::xgroup_setid("x", "g", "5-0") => "XGROUP SETID x g 5-0";
        Typed::xinfo_stream("x") => "XINFO STREAM x";
        Typed::xinfo_stream_full("x", 5) => "XINFO STREAM x FULL COUNT 5";
        Typed::xinfo_groups("x") => "XINFO GROUPS x";
        Typed::xinfo_consumers("x", "g") => "XINFO CONSUMERS x g";
        Typed::xsetid("x", "9-0") => "XSETID x 9-0";
    }
}
