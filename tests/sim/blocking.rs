//! Commands that wait for an element: who gets it, when, and in which version of the servers.

use std::time::Duration;

use keyslot::testkit::sim::{Profile, SimCluster};
use keyslot::{Connector, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// More than anything takes that is not waiting.
const SOON: Duration = Duration::from_millis(1);

/// A cluster of one node, so that all its connections meet there.
struct Lone {
    cluster: SimCluster,
}

impl Lone {
    fn new(profile: Profile) -> Self {
        Self { cluster: SimCluster::builder().primaries(1).profile(profile).start_in_memory().unwrap() }
    }

    fn each() -> impl Iterator<Item = (Profile, Self)> {
        Profile::ALL.into_iter().map(|profile| (profile, Self::new(profile)))
    }

    async fn connect(&self) -> Raw {
        let node = self.cluster.nodes().remove(0);
        Raw { stream: self.cluster.connector().connect(&node).await.unwrap() }
    }

    /// A connection whose command waits.
    async fn waiting(&self, line: &str) -> Raw {
        let mut raw = self.connect().await;
        raw.send(line).await;
        raw.gets_nothing().await;
        raw
    }
}

/// A connection that knows no protocol: bytes out, bytes in.
struct Raw {
    stream: Box<dyn Transport>,
}

impl Raw {
    /// Words with one space between them, or several such commands with `;` between them.
    async fn send(&mut self, lines: &str) {
        let mut bytes = String::new();
        for line in lines.split("; ") {
            let words: Vec<&str> = line.split(' ').collect();
            bytes += &format!("*{}\r\n", words.len());
            words.iter().for_each(|word| bytes += &format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// The next bytes are these; each `|` is the end of a line.
    async fn gets(&mut self, expected: &str) {
        let expected = expected.replace('|', "\r\n");
        let mut bytes = vec![0; expected.len()];
        let read = timeout(Duration::from_secs(3600), self.stream.read_exact(&mut bytes)).await;
        read.unwrap_or_else(|_| panic!("no {expected:?}")).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    async fn gets_nothing(&mut self) {
        assert!(timeout(SOON, self.stream.read_u8()).await.is_err(), "it did not wait");
    }

    async fn ask(&mut self, lines: &str, expected: &str) {
        self.send(lines).await;
        self.gets(expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first() {
    for (_, lone) in Lone::each() {
        let mut other = lone.connect().await;
        let mut first = lone.waiting("BLPOP k 0").await;
        let mut second = lone.waiting("BRPOP k 0").await;
        let mut third = lone.waiting("BLPOP k 0").await;
        // All of a push is there before anyone is served.
        other.ask("RPUSH k a b", ":2|").await;
        first.gets("*2|$1|k|$1|a|").await;
        second.gets("*2|$1|k|$1|b|").await;
        third.gets_nothing().await;
        other.ask("EXISTS k; LPUSH k c", ":0|:1|").await;
        third.gets("*2|$1|k|$1|c|").await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_several_keys_leaves_all_queues_with_the_first_element() {
    for (_, lone) in Lone::each() {
        let mut other = lone.connect().await;
        let mut first = lone.waiting("BLPOP {t}a {t}b 0").await;
        let mut second = lone.waiting("BLPOP {t}b {t}a {t}b 0").await;
        other.ask("RPUSH {t}b 1; RPUSH {t}a 2", ":1|:1|").await;
        first.gets("*2|$4|{t}b|$1|1|").await;
        second.gets("*2|$4|{t}a|$1|2|").await;
        // What comes now is nobody's.
        other.ask("RPUSH {t}a 3; RPUSH {t}b 4; LLEN {t}a; LLEN {t}b", ":1|:1|:1|:1|").await;
        first.ask("LLEN {t}a", ":1|").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_fills_several_keys_and_each_version_chooses_its_own() {
    for (profile, lone) in Lone::each() {
        let is_new = !matches!(profile, Profile::Redis62 | Profile::Redis70);
        let mut other = lone.connect().await;
        let mut waiting = lone.waiting("BLPOP {t}a {t}b 0").await;
        other.ask("MULTI; RPUSH {t}b B; RPUSH {t}a A; EXEC", "+OK|+QUEUED|+QUEUED|*2|:1|:1|").await;
        waiting.gets(if is_new { "*2|$4|{t}a|$1|A|" } else { "*2|$4|{t}b|$1|B|" }).await;

        let mut reading = lone.waiting("XREAD BLOCK 0 STREAMS {t}s {t}t $ $").await;
        let answer = "+OK|+QUEUED|+QUEUED|*2|$3|5-2|$3|5-3|";
        other.ask("MULTI; XADD {t}t 5-2 c d; XADD {t}s 5-3 e f; EXEC", answer).await;
        let of_t = "*2|$4|{t}t|*1|*2|$3|5-2|*2|$1|c|$1|d|";
        if is_new {
            reading.gets(&format!("*2|*2|$4|{{t}}s|*1|*2|$3|5-3|*2|$1|e|$1|f|{of_t}")).await;
        } else {
            reading.gets(&format!("*1|{of_t}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_element_that_is_moved_feeds_who_waits_for_it_there() {
    for (_, lone) in Lone::each() {
        let mut other = lone.connect().await;
        let mut end = lone.waiting("BLPOP {t}c 0").await;
        let mut middle = lone.waiting("BRPOPLPUSH {t}b {t}c 0").await;
        let mut begin = lone.waiting("BLMOVE {t}a {t}b LEFT RIGHT 0").await;
        other.ask("RPUSH {t}a x", ":1|").await;
        begin.gets("$1|x|").await;
        middle.gets("$1|x|").await;
        end.gets("*2|$4|{t}c|$1|x|").await;
        other.ask("EXISTS {t}a {t}b {t}c", ":0|").await;
        assert_eq!(lone.cluster.ledger().count("BRPOPLPUSH {t}b {t}c 0"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn two_moves_in_a_circle_end_where_they_began() {
    for (_, lone) in Lone::each() {
        let mut other = lone.connect().await;
        let mut there = lone.waiting("BRPOPLPUSH {t}a {t}b 0").await;
        let mut back = lone.waiting("BRPOPLPUSH {t}b {t}a 0").await;
        other.ask("RPUSH {t}a 1", ":1|").await;
        there.gets("$1|1|").await;
        back.gets("$1|1|").await;
        other.ask("LLEN {t}a; LLEN {t}b", ":1|:0|").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_gets_nothing_and_the_next_in_line_does() {
    for (_, lone) in Lone::each() {
        let mut other = lone.connect().await;
        let gone = lone.waiting("BLPOP k 0").await;
        let mut next = lone.waiting("BLPOP k 0").await;
        drop(gone);
        tokio::time::sleep(SOON).await;
        other.ask("RPUSH k a; EXISTS k", ":1|:0|").await;
        next.gets("*2|$1|k|$1|a|").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_gives_nil_at_its_time_and_zero_is_for_ever() {
    for (_, lone) in Lone::each() {
        let mut waiting = lone.connect().await;
        for (line, millis, answer) in [
            ("BLPOP k 1.5", 1500, "*-1|"),
            ("BLMOVE k k LEFT LEFT 0.05", 50, "*-1|"),
            ("BRPOPLPUSH k k 2", 2000, "*-1|"),
            ("BZPOPMAX k 1", 1000, "*-1|"),
            ("XREAD BLOCK 250 STREAMS k $", 250, "*-1|"),
            ("HELLO 3; BLPOP k 1", 1000, ""),
        ] {
            let begin = Instant::now();
            waiting.send(line).await;
            if answer.is_empty() {
                let mut greeting = [0; 4096];
                assert!(waiting.stream.read(&mut greeting).await.unwrap() > 0);
                waiting.gets("_|").await;
            } else {
                waiting.gets(answer).await;
            }
            let took = begin.elapsed();
            let expected = Duration::from_millis(millis);
            assert!(took >= expected && took < expected + 2 * SOON, "{line} took {took:?}");
        }
        let mut ever = lone.waiting("BLPOP k 0").await;
        tokio::time::sleep(Duration::from_secs(1_000_000)).await;
        ever.gets_nothing().await;
        // The element of one that has waited in vain is not lost.
        waiting.ask("RPUSH k a", ":1|").await;
        ever.gets("*2|$1|k|$1|a|").await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_within_a_transaction() {
    for (_, lone) in Lone::each() {
        let mut raw = lone.connect().await;
        let lines = "MULTI; BLPOP k 0; BLMOVE k k LEFT LEFT 0; BRPOPLPUSH k k 0; BZPOPMIN k 0; \
                     XREAD BLOCK 0 STREAMS k $; BLPOP k x; EXEC";
        let queued = "+QUEUED|".repeat(6);
        let error = "-ERR timeout is not a float or out of range|";
        raw.ask(lines, &format!("+OK|{queued}*6|*-1|$-1|$-1|*-1|*-1|{error}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_transaction_takes_back_wakes_nobody() {
    for (_, lone) in Lone::each() {
        let mut other = lone.connect().await;
        let mut waiting = lone.waiting("BLPOP k 0").await;
        other.ask("MULTI; RPUSH k a; DEL k; EXEC", "+OK|+QUEUED|+QUEUED|*2|:1|:1|").await;
        waiting.gets_nothing().await;
        other
            .ask("MULTI; RPUSH k a; DEL k; SET k x; EXEC", "+OK|+QUEUED|+QUEUED|+QUEUED|*3|:1|:1|+OK|")
            .await;
        waiting.gets_nothing().await;
        other.ask("DEL k; RPUSH k b", ":1|:1|").await;
        waiting.gets("*2|$1|k|$1|b|").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_of_another_type_is_not_what_one_waits_for() {
    for (_, lone) in Lone::each() {
        let mut other = lone.connect().await;
        let mut of_list = lone.waiting("BLPOP k 0").await;
        let mut of_stream = lone.waiting("XREAD BLOCK 0 STREAMS k 0").await;
        let mut of_sorted_set = lone.waiting("BZPOPMIN k 0").await;
        other.ask("SET k x; DEL k; ZADD k 2 b 1 a", "+OK|:1|:2|").await;
        of_sorted_set.gets("*3|$1|k|$1|a|$1|1|").await;
        of_list.gets_nothing().await;
        of_stream.gets_nothing().await;
        other.ask("DEL k; XADD k 1-1 f v", ":1|$3|1-1|").await;
        of_stream.gets("*1|*2|$1|k|*1|*2|$3|1-1|*2|$1|f|$1|v|").await;
        of_list.gets_nothing().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_among_several_is_seen_by_new_servers_only() {
    for (profile, lone) in Lone::each() {
        let mut other = lone.connect().await;
        let mut waiting = lone.waiting("BLPOP {t}a {t}b 0").await;
        other.ask("SET {t}a x; RPUSH {t}b B", "+OK|:1|").await;
        if matches!(profile, Profile::Redis62 | Profile::Redis70) {
            waiting.gets("*2|$4|{t}b|$1|B|").await;
        } else {
            waiting.gets("-WRONGTYPE Operation against a key holding the wrong kind of value|").await;
            other.ask("LLEN {t}b", ":1|").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_move_to_a_key_of_another_type_leaves_the_element_to_the_next() {
    for (_, lone) in Lone::each() {
        let mut other = lone.connect().await;
        other.ask("SET {t}d x", "+OK|").await;
        let mut mover = lone.waiting("BLMOVE {t}s {t}d LEFT RIGHT 0").await;
        let mut popper = lone.waiting("BLPOP {t}s 0").await;
        other.ask("RPUSH {t}s a", ":1|").await;
        mover.gets("-WRONGTYPE Operation against a key holding the wrong kind of value|").await;
        popper.gets("*2|$4|{t}s|$1|a|").await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_reader_of_a_stream_gets_what_is_newer_than_its_beginning() {
    for (_, lone) in Lone::each() {
        let mut other = lone.connect().await;
        other.ask("XADD k 5-1 a b", "$3|5-1|").await;
        let mut first = lone.waiting("XREAD BLOCK 0 STREAMS k $").await;
        let mut second = lone.waiting("XREAD COUNT 1 BLOCK 0 STREAMS k 5-1").await;
        // `$` was the last id when it began to wait, whatever becomes of the stream.
        other.ask("DEL k; XADD k 1-3 c d", ":1|$3|1-3|").await;
        first.gets_nothing().await;
        other
            .ask("MULTI; XADD k 5-2 e f; XADD k 5-3 g h; EXEC", "+OK|+QUEUED|+QUEUED|*2|$3|5-2|$3|5-3|")
            .await;
        let (one, two) = ("*2|$3|5-2|*2|$1|e|$1|f|", "*2|$3|5-3|*2|$1|g|$1|h|");
        first.gets(&format!("*1|*2|$1|k|*2|{one}{two}")).await;
        second.gets(&format!("*1|*2|$1|k|*1|{one}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_element_comes_from_whatever_makes_the_key() {
    for (_, lone) in Lone::each() {
        let mut other = lone.connect().await;
        for (make, answer) in [
            ("RPUSH {t}x 1; RENAME {t}x {t}k", ":1|+OK|"),
            ("RPUSH {t}x 1; COPY {t}x {t}k; DEL {t}x", ":1|:1|:1|"),
            ("RPUSH {t}x 1; SORT {t}x STORE {t}k; DEL {t}x", ":1|:1|:1|"),
        ] {
            let mut waiting = lone.waiting("BLPOP {t}k 0").await;
            other.ask(make, answer).await;
            waiting.gets("*2|$4|{t}k|$1|1|").await;
        }
        other.ask("ZADD {t}x 1 a", ":1|").await;
        for make in ["ZUNIONSTORE {t}k 1 {t}x", "ZRANGESTORE {t}k {t}x 0 -1"] {
            let mut waiting = lone.waiting("BZPOPMIN {t}k 0").await;
            other.ask(make, ":1|").await;
            waiting.gets("*3|$4|{t}k|$1|a|$1|1|").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_stands_behind_a_waiting_command_waits_too() {
    let lone = Lone::new(Profile::Valkey91);
    let mut other = lone.connect().await;
    let mut waiting = lone.waiting("BLMPOP 0 2 {t}a {t}b LEFT COUNT 2; LLEN {t}b").await;
    other.ask("RPUSH {t}b 1 2 3", ":3|").await;
    waiting.gets("*2|$4|{t}b|*2|$1|1|$1|2|:1|").await;
}
