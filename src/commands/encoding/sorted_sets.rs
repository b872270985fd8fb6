use crate::commands::encoding::{Typed, encodes};
use crate::commands::options::{Aggregate, ScanOptions, ScoreEnd, ZaddOptions, ZrangeOptions, ZstoreOptions};

#[test]
fn sorted_sets_are_encoded_as_the_servers_read_them() {
    encodes! {
        Typed::zadd("z", [(1.5, "a"), (f64::INFINITY, "b")]) => "ZADD z 1.5 a inf b";
        Typed::zadd_options("z", [(1.0, "a")], ZaddOptions::new().gt().nx().ch()) => "ZADD z NX CH 1 a";
        Typed::zadd_options("z", [(1.0, "a")], ZaddOptions::new().nx().lt()) => "ZADD z LT 1 a";
        Typed::zadd_options("z", [(1.0, "a")], ZaddOptions::new().xx().gt()) => "ZADD z XX GT 1 a";
        Typed::zadd_incr("z", -1.0, "a", ZaddOptions::new().xx()) => "ZADD z XX INCR -1 a";
        Typed::zscore("z", "a") => "ZSCORE z a";
        Typed::zmscore("z", ["a", "b"]) => "ZMSCORE z a b";
        Typed::zincrby("z", 2.5, "a") => "ZINCRBY z 2.5 a";
        Typed::zrank("z", "a") => "ZRANK z a";
        Typed::zrank_with_score("z", "a") => "ZRANK z a WITHSCORE";
        Typed::zrevrank("z", "a") => "ZREVRANK z a";
        Typed::zrevrank_with_score("z", "a") => "ZREVRANK z a WITHSCORE";
        Typed::zrange("z", 0, -1) => "ZRANGE z 0 -1";
        Typed::zrange_with_scores("z", 0, -1) => "ZRANGE z 0 -1 WITHSCORES";
        Typed::zrange_options("z", "-inf", "(5", ZrangeOptions::by_score().limit(0, 10))
            => "ZRANGE z -inf (5 BYSCORE LIMIT 0 10";
        Typed::zrange_options("z", "+", "[a", ZrangeOptions::by_lex().rev()) => "ZRANGE z + [a BYLEX REV";
        Typed::zrange_options_with_scores("z", 0, 1, ZrangeOptions::by_rank().rev())
            => "ZRANGE z 0 1 REV WITHSCORES";
        Typed::zrangestore("d", "z", 1.5, 2, ZrangeOptions::by_score()) => "ZRANGESTORE d z 1.5 2 BYSCORE";
        Typed::zrangebyscore("z", 1, "+inf") => "ZRANGEBYSCORE z 1 +inf";
        Typed::zrangebyscore_with_scores("z", 1, 2) => "ZRANGEBYSCORE z 1 2 WITHSCORES";
        Typed::zrangebyscore_limit("z", 1, 2, 0, -1) => "ZRANGEBYSCORE z 1 2 LIMIT 0 -1";
        Typed::zrevrangebyscore("z", 2, 1) => "ZREVRANGEBYSCORE z 2 1";
        Typed::zrevrangebyscore_with_scores("z", 2, 1) => "ZREVRANGEBYSCORE z 2 1 WITHSCORES";
        Typed::zrevrangebyscore_limit("z", 2, 1, 3, 4) => "ZREVRANGEBYSCORE z 2 1 LIMIT 3 4";
        Typed::zrangebylex("z", "-", "[c") => "ZRANGEBYLEX z - [c";
        Typed::zrangebylex_limit("z", "-", "[c", 0, 1) => "ZRANGEBYLEX z - [c LIMIT 0 1";
        Typed::zrevrangebylex("z", "[c", "-") => "ZREVRANGEBYLEX z [c -";
        Typed::zrevrangebylex_limit("z", "[c", "-", 0, 1) => "ZREVRANGEBYLEX z [c - LIMIT 0 1";
        Typed::zrevrange("z", 0, 1) => "ZREVRANGE z 0 1";
        Typed::zrevrange_with_scores("z", 0, 1) => "ZREVRANGE z 0 1 WITHSCORES";
        Typed::zrem("z", ["a", "b"]) => "ZREM z a b";
        Typed::zremrangebyrank("z", 0, 1) => "ZREMRANGEBYRANK z 0 1";
        Typed::zremrangebyscore("z", "-inf", 1) => "ZREMRANGEBYSCORE z -inf 1";
        Typed::zremrangebylex("z", "-", "+") => "ZREMRANGEBYLEX z - +";
        Typed::zcard("z") => "ZCARD z";
        Typed::zcount("z", 1, 2) => "ZCOUNT z 1 2";
        Typed::zlexcount("z", "-", "+") => "ZLEXCOUNT z - +";
        Typed::zpopmin("z") => "ZPOPMIN z";
        Typed::zpopmin_count("z", 2) => "ZPOPMIN z 2";
        Typed::zpopmax("z") => "ZPOPMAX z";
        Typed::zpopmax_count("z", 2) => "ZPOPMAX z 2";
        Typed::zmpop(["y", "z"], ScoreEnd::Min) => "ZMPOP 2 y z MIN";
        Typed::zmpop_count("z", ScoreEnd::Max, 2) => "ZMPOP 1 z MAX COUNT 2";
        Typed::bzpopmin(["y", "z"], 0.5) => "BZPOPMIN y z 0.5";
        Typed::bzpopmax("z", 1.0) => "BZPOPMAX z 1";
        Typed::bzmpop(1.0, ["y", "z"], ScoreEnd::Max) => "BZMPOP 1 2 y z MAX";
        Typed::bzmpop_count(1.0, "z", ScoreEnd::Max, 2) => "BZMPOP 1 1 z MAX COUNT 2";
        Typed::zrandmember("z") => "ZRANDMEMBER z";
        Typed::zrandmember_count("z", -2) => "ZRANDMEMBER z -2";
        Typed::zrandmember_with_scores("z", 2) => "ZRANDMEMBER z 2 WITHSCORES";
        Typed::zscan("z", 0, ScanOptions::new()) => "ZSCAN z 0";
        Typed::zunion(["y", "z"]) => "ZUNION 2 y z";
        Typed::zunion_with_scores(["y", "z"], ZstoreOptions::new().weights([1.0, 0.5]).aggregate(Aggregate::Max))
            => "ZUNION 2 y z WEIGHTS 1 0.5 AGGREGATE MAX WITHSCORES";
        Typed::zunionstore("d", ["y", "z"]) => "ZUNIONSTORE d 2 y z";
        Typed::zunionstore_options("d", ["y", "z"], ZstoreOptions::new().aggregate(Aggregate::Min))
            => "ZUNIONSTORE d 2 y z AGGREGATE MIN";
        Typed::zinter(["y", "z"]) => "ZINTER 2 y z";
        Typed::zinter_with_scores(["y", "z"], ZstoreOptions::new()) => "ZINTER 2 y z WITHSCORES";
        Typed::zinterstore("d", ["y", "z"]) => "ZINTERSTORE d 2 y z";
        Typed::zinterstore_options("d", ["y", "z"], ZstoreOptions::new().weights([2.0, 3.0]))
            => "ZINTERSTORE d 2 y z WEIGHTS 2 3";
        Typed::zintercard(["y", "z"]) => "ZINTERCARD 2 y z";
        Typed::zintercard_limit(["y", "z"], 9) => "ZINTERCARD 2 y z LIMIT 9";
        Typed::zdiff(["y", "z"]) => "ZDIFF 2 y z";
        Typed::zdiff_with_scores(["y", "z"]) => "ZDIFF 2 y z WITHSCORES";
        Typed::zdiffstore("d", ["y", "z"]) => "ZDIFFSTORE d 2 y z";
    }
}
