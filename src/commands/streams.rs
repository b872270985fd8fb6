//! Streams and their consumer groups.

macro_rules! stream_commands {
    ($render:ident) => {
        $render! {
            /// [XADD](https://redis.io/docs/latest/commands/xadd/): adds an entry and returns its id; with `"*"` for `id` the server gives one.
            ///
            /// An id that is not above all earlier ones is an error.
            ///
            /// Since 5.0, O(1).
            fn xadd(
                key: impl ToArg,
                id: impl ToArg,
                fields: impl IntoIterator<Item = (impl ToArg, impl ToArg)>
            ) -> String =
                known!("XADD").key(key).arg(id).pairs(fields);

            /// [XADD](https://redis.io/docs/latest/commands/xadd/): adds an entry and trims the stream with it; its id, nil if there is no stream and none was to be made.
            ///
            /// Since 5.0 (`nomkstream` and `minid` 6.2), O(1), and O(n) in the number of entries that go.
            fn xadd_options(
                key: impl ToArg,
                id: impl ToArg,
                fields: impl IntoIterator<Item = (impl ToArg, impl ToArg)>,
                options: options::XaddOptions
            ) -> Option<String> =
                known!("XADD").key(key).args(options.into_args()).arg(id).pairs(fields);

            /// [XTRIM](https://redis.io/docs/latest/commands/xtrim/): removes the oldest entries; how many there were.
            ///
            /// Since 5.0 (`minid` 6.2), O(n) in the number of entries that go.
            fn xtrim(key: impl ToArg, trim: options::Xtrim) -> u64 =
                known!("XTRIM").key(key).args(trim.into_args());

            /// [XDEL](https://redis.io/docs/latest/commands/xdel/): deletes entries; how many there were.
            ///
            /// Since 5.0, O(1) for each.
            fn xdel(key: impl ToArg, ids: impl ToArgs) -> u64 =
                known!("XDEL").key(key).args(ids.into_args());

            /// [XDELEX](https://redis.io/docs/latest/commands/xdelex/): deletes entries and says what becomes of groups' references; for each 1 if it went, -1 if there is none, 2 if it is still referred to.
            ///
            /// Since 8.2, O(1) for each.
            fn xdelex(key: impl ToArg, references: options::References, ids: impl ToArgs) -> Vec<i64> =
                known!("XDELEX").key(key).arg(references).arg("IDS").counted_args(ids);

            /// [XLEN](https://redis.io/docs/latest/commands/xlen/): how many entries there are.
            ///
            /// Since 5.0, O(1).
            fn xlen(key: impl ToArg) -> u64 =
                known!("XLEN").key(key);

            /// [XRANGE](https://redis.io/docs/latest/commands/xrange/): the entries from id to id, both included: `"-"`, `"+"`, `"(1-0"` without itself. `R` is their fields.
            ///
            /// Since 5.0 (exclusive ends 6.2), O(n) in the number of entries returned.
            fn xrange<R>(key: impl ToArg, start: impl ToArg, end: impl ToArg) -> Vec<replies::StreamEntry<R>> =
                known!("XRANGE").key(key).arg(start).arg(end);

            /// [XRANGE](https://redis.io/docs/latest/commands/xrange/): the first `count` entries from id to id.
            ///
            /// Since 5.0, O(n) in the number of entries returned.
            fn xrange_count<R>(
                key: impl ToArg,
                start: impl ToArg,
                end: impl ToArg,
                count: u64
            ) -> Vec<replies::StreamEntry<R>> =
                known!("XRANGE").key(key).arg(start).arg(end).arg("COUNT").arg(count);

            /// [XREVRANGE](https://redis.io/docs/latest/commands/xrevrange/): the entries from id down to id, both included.
            ///
            /// Since 5.0 (exclusive ends 6.2), O(n) in the number of entries returned.
            fn xrevrange<R>(key: impl ToArg, end: impl ToArg, start: impl ToArg) -> Vec<replies::StreamEntry<R>> =
                known!("XREVRANGE").key(key).arg(end).arg(start);

            /// [XREVRANGE](https://redis.io/docs/latest/commands/xrevrange/): the last `count` entries from id down to id.
            ///
            /// Since 5.0, O(n) in the number of entries returned.
            fn xrevrange_count<R>(
                key: impl ToArg,
                end: impl ToArg,
                start: impl ToArg,
                count: u64
            ) -> Vec<replies::StreamEntry<R>> =
                known!("XREVRANGE").key(key).arg(end).arg(start).arg("COUNT").arg(count);

            /// [XREAD](https://redis.io/docs/latest/commands/xread/): the entries behind an id, for each of several streams: pairs of a key and an id.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 5.0, O(n) in the number of entries returned.
            fn xread<R>(streams: impl IntoIterator<Item = (impl ToArg, impl ToArg)>) -> replies::StreamReads<R> =
                known!("XREAD").arg("STREAMS").keys_then_args(streams);

            /// [XREAD](https://redis.io/docs/latest/commands/xread/): the entries behind an id (`"$"`: what comes from now on), for each of several streams; waits for some if it is told to.
            ///
            /// What waits takes an exclusive connection by itself, so it delays nobody. All keys must be in one slot.
            ///
            /// Since 5.0, O(n) in the number of entries returned.
            fn xread_options<R>(
                streams: impl IntoIterator<Item = (impl ToArg, impl ToArg)>,
                options: options::XreadOptions
            ) -> replies::StreamReads<R> =
                known!("XREAD").args(options.into_args()).arg("STREAMS").keys_then_args(streams);

            /// [XREADGROUP](https://redis.io/docs/latest/commands/xreadgroup/): entries that nobody of the group has had (`">"` for the id), or those that this consumer has not acknowledged (any other id).
            ///
            /// No such group is a `NOGROUP` error. All keys must be in one slot.
            ///
            /// Since 5.0, O(n) in the number of entries returned.
            fn xreadgroup<R>(
                group: impl ToArg,
                consumer: impl ToArg,
                streams: impl IntoIterator<Item = (impl ToArg, impl ToArg)>
            ) -> replies::StreamReads<R> =
                known!("XREADGROUP").arg("GROUP").arg(group).arg(consumer).arg("STREAMS").keys_then_args(streams);

            /// [XREADGROUP](https://redis.io/docs/latest/commands/xreadgroup/): as `xreadgroup`, and waits for entries if it is told to.
            ///
            /// What waits takes an exclusive connection by itself. Dropping the future may leave entries delivered
            /// that nobody saw; they stay pending.
            ///
            /// Since 5.0, O(n) in the number of entries returned.
            fn xreadgroup_options<R>(
                group: impl ToArg,
                consumer: impl ToArg,
                streams: impl IntoIterator<Item = (impl ToArg, impl ToArg)>,
                options: options::XreadgroupOptions
            ) -> replies::StreamReads<R> =
                known!("XREADGROUP")
                    .arg("GROUP")
                    .arg(group)
                    .arg(consumer)
                    .args(options.into_args())
                    .arg("STREAMS")
                    .keys_then_args(streams);

            /// [XACK](https://redis.io/docs/latest/commands/xack/): acknowledges entries; how many of them were pending.
            ///
            /// Since 5.0, O(1) for each.
            fn xack(key: impl ToArg, group: impl ToArg, ids: impl ToArgs) -> u64 =
                known!("XACK").key(key).arg(group).args(ids.into_args());

            /// [XACKDEL](https://redis.io/docs/latest/commands/xackdel/): acknowledges entries and deletes them; the answers are those of `xdelex`.
            ///
            /// Since 8.2, O(1) for each.
            fn xackdel(
                key: impl ToArg,
                group: impl ToArg,
                references: options::References,
                ids: impl ToArgs
            ) -> Vec<i64> =
                known!("XACKDEL").key(key).arg(group).arg(references).arg("IDS").counted_args(ids);

            /// [XPENDING](https://redis.io/docs/latest/commands/xpending/): how many entries are delivered and not acknowledged, and who has them.
            ///
            /// No such group is a `NOGROUP` error.
            ///
            /// Since 5.0, O(n) in the number of consumers.
            fn xpending(key: impl ToArg, group: impl ToArg) -> replies::PendingSummary =
                known!("XPENDING").key(key).arg(group);

            /// [XPENDING](https://redis.io/docs/latest/commands/xpending/): up to `count` entries from id to id that are delivered and not acknowledged.
            ///
            /// Since 5.0, O(n) in the number of entries returned.
            fn xpending_range(
                key: impl ToArg,
                group: impl ToArg,
                start: impl ToArg,
                end: impl ToArg,
                count: u64
            ) -> Vec<replies::PendingEntry> =
                known!("XPENDING").key(key).arg(group).arg(start).arg(end).arg(count);

            /// [XPENDING](https://redis.io/docs/latest/commands/xpending/): the same of one consumer, or not touched for some time.
            ///
            /// Since 5.0 (`idle` 6.2), O(n) in the number of entries looked at.
            fn xpending_options(
                key: impl ToArg,
                group: impl ToArg,
                start: impl ToArg,
                end: impl ToArg,
                count: u64,
                options: options::XpendingOptions
            ) -> Vec<replies::PendingEntry> =
                {
                    let (front, back) = options.around();
                    let command = known!("XPENDING").key(key).arg(group).args(front);
                    command.arg(start).arg(end).arg(count).args(back)
                };

            /// [XCLAIM](https://redis.io/docs/latest/commands/xclaim/): takes over entries that were not touched for `min_idle` milliseconds.
            ///
            /// Since 5.0, O(log n) for each in the number of pending entries.
            fn xclaim<R>(
                key: impl ToArg,
                group: impl ToArg,
                consumer: impl ToArg,
                min_idle: u64,
                ids: impl ToArgs
            ) -> Vec<replies::StreamEntry<R>> =
                known!("XCLAIM").key(key).arg(group).arg(consumer).arg(min_idle).args(ids.into_args());

            /// [XCLAIM](https://redis.io/docs/latest/commands/xclaim/): takes over entries, and says how long ago and how often they count as delivered.
            ///
            /// Since 5.0, O(log n) for each in the number of pending entries.
            fn xclaim_options<R>(
                key: impl ToArg,
                group: impl ToArg,
                consumer: impl ToArg,
                min_idle: u64,
                ids: impl ToArgs,
                options: options::XclaimOptions
            ) -> Vec<replies::StreamEntry<R>> =
                known!("XCLAIM")
                    .key(key)
                    .arg(group)
                    .arg(consumer)
                    .arg(min_idle)
                    .args(ids.into_args())
                    .args(options.into_args());

            /// [XCLAIM](https://redis.io/docs/latest/commands/xclaim/): takes over entries and returns their ids alone; does not count as a delivery.
            ///
            /// Since 5.0, O(log n) for each in the number of pending entries.
            fn xclaim_justid(
                key: impl ToArg,
                group: impl ToArg,
                consumer: impl ToArg,
                min_idle: u64,
                ids: impl ToArgs
            ) -> Vec<String> =
                known!("XCLAIM").key(key).arg(group).arg(consumer).arg(min_idle).args(ids.into_args()).arg("JUSTID");

            /// [XAUTOCLAIM](https://redis.io/docs/latest/commands/xautoclaim/): takes over entries from the id `start` on that were not touched for `min_idle` milliseconds, a hundred at most.
            ///
            /// Since 6.2, O(1) for each in a page.
            fn xautoclaim<R>(
                key: impl ToArg,
                group: impl ToArg,
                consumer: impl ToArg,
                min_idle: u64,
                start: impl ToArg
            ) -> replies::Autoclaim<replies::StreamEntry<R>> =
                known!("XAUTOCLAIM").key(key).arg(group).arg(consumer).arg(min_idle).arg(start);

            /// [XAUTOCLAIM](https://redis.io/docs/latest/commands/xautoclaim/): the same with `count` in the place of a hundred.
            ///
            /// Since 6.2, O(1) for each in a page.
            fn xautoclaim_count<R>(
                key: impl ToArg,
                group: impl ToArg,
                consumer: impl ToArg,
                min_idle: u64,
                start: impl ToArg,
                count: u64
            ) -> replies::Autoclaim<replies::StreamEntry<R>> =
                known!("XAUTOCLAIM").key(key).arg(group).arg(consumer).arg(min_idle).arg(start).arg("COUNT").arg(count);

            /// [XAUTOCLAIM](https://redis.io/docs/latest/commands/xautoclaim/): the same with ids alone; does not count as a delivery.
            ///
            /// Since 6.2, O(1) for each in a page.
            fn xautoclaim_justid(
                key: impl ToArg,
                group: impl ToArg,
                consumer: impl ToArg,
                min_idle: u64,
                start: impl ToArg,
                count: u64
            ) -> replies::Autoclaim<String> =
                known!("XAUTOCLAIM")
                    .key(key)
                    .arg(group)
                    .arg(consumer)
                    .arg(min_idle)
                    .arg(start)
                    .arg("COUNT")
                    .arg(count)
                    .arg("JUSTID");

            /// [XGROUP CREATE](https://redis.io/docs/latest/commands/xgroup-create/): makes a group that begins behind `id`: `"0"` for all entries, `"$"` for what comes from now on.
            ///
            /// A group of that name is a `BUSYGROUP` error; no such stream is an error.
            ///
            /// Since 5.0, O(1).
            fn xgroup_create(key: impl ToArg, group: impl ToArg, id: impl ToArg) -> () =
                known!("XGROUP CREATE").key(key).arg(group).arg(id);

            /// [XGROUP CREATE](https://redis.io/docs/latest/commands/xgroup-create/): makes a group, and the stream if there is none.
            ///
            /// A group of that name is a `BUSYGROUP` error.
            ///
            /// Since 5.0, O(1).
            fn xgroup_create_options(
                key: impl ToArg,
                group: impl ToArg,
                id: impl ToArg,
                options: options::XgroupCreateOptions
            ) -> () =
                known!("XGROUP CREATE").key(key).arg(group).arg(id).args(options.into_args());

            /// [XGROUP CREATECONSUMER](https://redis.io/docs/latest/commands/xgroup-createconsumer/): makes a consumer; tells whether it is new. One that reads is made by itself.
            ///
            /// Since 6.2, O(1).
            fn xgroup_createconsumer(key: impl ToArg, group: impl ToArg, consumer: impl ToArg) -> bool =
                known!("XGROUP CREATECONSUMER").key(key).arg(group).arg(consumer);

            /// [XGROUP DELCONSUMER](https://redis.io/docs/latest/commands/xgroup-delconsumer/): removes a consumer; how many entries it had not acknowledged, which nobody has any more.
            ///
            /// Since 5.0, O(1).
            fn xgroup_delconsumer(key: impl ToArg, group: impl ToArg, consumer: impl ToArg) -> u64 =
                known!("XGROUP DELCONSUMER").key(key).arg(group).arg(consumer);

            /// [XGROUP DESTROY](https://redis.io/docs/latest/commands/xgroup-destroy/): removes a group with all that it knows; tells whether there was one.
            ///
            /// Since 5.0, O(n) in the number of pending entries.
            fn xgroup_destroy(key: impl ToArg, group: impl ToArg) -> bool =
                known!("XGROUP DESTROY").key(key).arg(group);

            /// [XGROUP SETID](https://redis.io/docs/latest/commands/xgroup-setid/): lets a group go on behind `id`.
            ///
            /// Since 5.0, O(1).
            fn xgroup_setid(key: impl ToArg, group: impl ToArg, id: impl ToArg) -> () =
                known!("XGROUP SETID").key(key).arg(group).arg(id);

            /// [XINFO STREAM](https://redis.io/docs/latest/commands/xinfo-stream/): what there is to know about a stream; `R` is the fields of its first and last entry.
            ///
            /// No such key is an error.
            ///
            /// Since 5.0, O(1).
            fn xinfo_stream<R>(key: impl ToArg) -> replies::StreamInfo<R> =
                known!("XINFO STREAM").key(key);

            /// [XINFO STREAM](https://redis.io/docs/latest/commands/xinfo-stream/): everything about a stream, up to `count` entries (0: all), its groups and their consumers.
            ///
            /// No such key is an error.
            ///
            /// Since 6.0, O(n) in the number of entries returned.
            fn xinfo_stream_full<R>(key: impl ToArg, count: u64) -> R =
                known!("XINFO STREAM").key(key).arg("FULL").arg("COUNT").arg(count);

            /// [XINFO GROUPS](https://redis.io/docs/latest/commands/xinfo-groups/): the groups of a stream.
            ///
            /// No such key is an error.
            ///
            /// Since 5.0, O(n) in their number.
            fn xinfo_groups(key: impl ToArg) -> Vec<replies::GroupInfo> =
                known!("XINFO GROUPS").key(key);

            /// [XINFO CONSUMERS](https://redis.io/docs/latest/commands/xinfo-consumers/): the consumers of a group.
            ///
            /// No such group is a `NOGROUP` error.
            ///
            /// Since 5.0, O(n) in their number.
            fn xinfo_consumers(key: impl ToArg, group: impl ToArg) -> Vec<replies::ConsumerInfo> =
                known!("XINFO CONSUMERS").key(key).arg(group);

            /// [XSETID](https://redis.io/docs/latest/commands/xsetid/): sets the highest id that a stream has given.
            ///
            /// One that is below that of an entry is an error.
            ///
            /// Since 5.0, O(1).
            fn xsetid(key: impl ToArg, id: impl ToArg) -> () =
                known!("XSETID").key(key).arg(id);
        }
    };
}

pub(crate) use stream_commands;
