//! Lists.

macro_rules! list_commands {
    ($render:ident) => {
        $render! {
            /// [LPUSH](https://redis.io/docs/latest/commands/lpush/): puts values in front, one after the other; the new length.
            ///
            /// Since 1.0, O(n) in the number of values.
            fn lpush(key: impl ToArg, values: impl ToArgs) -> u64 =
                known!("LPUSH").key(key).args(values.into_args());

            /// [RPUSH](https://redis.io/docs/latest/commands/rpush/): puts values at the end; the new length.
            ///
            /// Since 1.0, O(n) in the number of values.
            fn rpush(key: impl ToArg, values: impl ToArgs) -> u64 =
                known!("RPUSH").key(key).args(values.into_args());

            /// [LPUSHX](https://redis.io/docs/latest/commands/lpushx/): puts values in front if there is such a list; the new length, 0 if there is none.
            ///
            /// Since 2.2, O(n) in the number of values.
            fn lpushx(key: impl ToArg, values: impl ToArgs) -> u64 =
                known!("LPUSHX").key(key).args(values.into_args());

            /// [RPUSHX](https://redis.io/docs/latest/commands/rpushx/): puts values at the end if there is such a list; the new length, 0 if there is none.
            ///
            /// Since 2.2, O(n) in the number of values.
            fn rpushx(key: impl ToArg, values: impl ToArgs) -> u64 =
                known!("RPUSHX").key(key).args(values.into_args());

            /// [LPOP](https://redis.io/docs/latest/commands/lpop/): takes the first element, nil if there is none.
            ///
            /// Since 1.0, O(1).
            fn lpop<R>(key: impl ToArg) -> R =
                known!("LPOP").key(key);

            /// [LPOP](https://redis.io/docs/latest/commands/lpop/): takes so many of the first elements at most; nil if there is no such list.
            ///
            /// Read it as `Option<Vec<String>>`.
            ///
            /// Since 6.2, O(n) in `count`.
            fn lpop_count<R>(key: impl ToArg, count: u64) -> R =
                known!("LPOP").key(key).arg(count);

            /// [RPOP](https://redis.io/docs/latest/commands/rpop/): takes the last element, nil if there is none.
            ///
            /// Since 1.0, O(1).
            fn rpop<R>(key: impl ToArg) -> R =
                known!("RPOP").key(key);

            /// [RPOP](https://redis.io/docs/latest/commands/rpop/): takes so many of the last elements at most, the last one first; nil if there is no such list.
            ///
            /// Since 6.2, O(n) in `count`.
            fn rpop_count<R>(key: impl ToArg, count: u64) -> R =
                known!("RPOP").key(key).arg(count);

            /// [LRANGE](https://redis.io/docs/latest/commands/lrange/): the elements from `start` to `stop`, both included; negative places count from the end.
            ///
            /// Since 1.0, O(s+n) in the distance of the start and the number of elements.
            fn lrange<R>(key: impl ToArg, start: i64, stop: i64) -> R =
                known!("LRANGE").key(key).arg(start).arg(stop);

            /// [LINDEX](https://redis.io/docs/latest/commands/lindex/): the element at `index`, nil if there is none; a negative one counts from the end.
            ///
            /// Since 1.0, O(n) in the distance from the nearer end.
            fn lindex<R>(key: impl ToArg, index: i64) -> R =
                known!("LINDEX").key(key).arg(index);

            /// [LSET](https://redis.io/docs/latest/commands/lset/): replaces the element at `index`.
            ///
            /// A place behind the end, or no such list, is an error.
            ///
            /// Since 1.0, O(n) in the distance from the nearer end.
            fn lset(key: impl ToArg, index: i64, value: impl ToArg) -> () =
                known!("LSET").key(key).arg(index).arg(value);

            /// [LINSERT](https://redis.io/docs/latest/commands/linsert/): puts `value` before the first `pivot`; the new length, -1 if there is no pivot, 0 if no list.
            ///
            /// Since 2.2, O(n) in the distance of the pivot.
            fn linsert_before(key: impl ToArg, pivot: impl ToArg, value: impl ToArg) -> i64 =
                known!("LINSERT").key(key).arg("BEFORE").arg(pivot).arg(value);

            /// [LINSERT](https://redis.io/docs/latest/commands/linsert/): puts `value` after the first `pivot`; the new length, -1 if there is no pivot, 0 if no list.
            ///
            /// Since 2.2, O(n) in the distance of the pivot.
            fn linsert_after(key: impl ToArg, pivot: impl ToArg, value: impl ToArg) -> i64 =
                known!("LINSERT").key(key).arg("AFTER").arg(pivot).arg(value);

            /// [LREM](https://redis.io/docs/latest/commands/lrem/): removes the first `count` elements that are `value` (negative: the last ones; 0: all); how many there were.
            ///
            /// Since 1.0, O(n) in the length of the list.
            fn lrem(key: impl ToArg, count: i64, value: impl ToArg) -> u64 =
                known!("LREM").key(key).arg(count).arg(value);

            /// [LTRIM](https://redis.io/docs/latest/commands/ltrim/): keeps the elements from `start` to `stop`, both included, and no others.
            ///
            /// Since 1.0, O(n) in the number of elements that go.
            fn ltrim(key: impl ToArg, start: i64, stop: i64) -> () =
                known!("LTRIM").key(key).arg(start).arg(stop);

            /// [LPOS](https://redis.io/docs/latest/commands/lpos/): where the first such element is.
            ///
            /// Since 6.0.6, O(n) in the length of the list.
            fn lpos(key: impl ToArg, value: impl ToArg) -> Option<u64> =
                known!("LPOS").key(key).arg(value);

            /// [LPOS](https://redis.io/docs/latest/commands/lpos/): where such an element is, counted from another match on, or from the end.
            ///
            /// Since 6.0.6, O(n) in the length of the list.
            fn lpos_options(key: impl ToArg, value: impl ToArg, options: options::LposOptions) -> Option<u64> =
                known!("LPOS").key(key).arg(value).args(options.into_args());

            /// [LPOS](https://redis.io/docs/latest/commands/lpos/): where the first `count` (0: all) such elements are.
            ///
            /// Since 6.0.6, O(n) in the length of the list.
            fn lpos_count(key: impl ToArg, value: impl ToArg, count: u64, options: options::LposOptions) -> Vec<u64> =
                known!("LPOS").key(key).arg(value).arg("COUNT").arg(count).args(options.into_args());

            /// [LMOVE](https://redis.io/docs/latest/commands/lmove/): takes an element from one end of a list and puts it to one of another; nil if there is none.
            ///
            /// Both must be in one slot; they may be the same.
            ///
            /// Since 6.2, O(1).
            fn lmove<R>(source: impl ToArg, destination: impl ToArg, from: options::Side, to: options::Side) -> R =
                known!("LMOVE").key(source).key(destination).arg(from).arg(to);

            /// [RPOPLPUSH](https://redis.io/docs/latest/commands/rpoplpush/): takes the last element of a list and puts it in front of another: `lmove` from right to left.
            ///
            /// Both must be in one slot.
            ///
            /// Since 1.2, O(1).
            fn rpoplpush<R>(source: impl ToArg, destination: impl ToArg) -> R =
                known!("RPOPLPUSH").key(source).key(destination);

            /// [LMPOP](https://redis.io/docs/latest/commands/lmpop/): takes an element of the first list that has one, with the list's key: `Option<(String, Vec<String>)>`.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 7.0, O(n) in the number of keys.
            fn lmpop<R>(keys: impl ToArgs, side: options::Side) -> R =
                known!("LMPOP").counted_keys(keys).arg(side);

            /// [LMPOP](https://redis.io/docs/latest/commands/lmpop/): takes up to `count` elements of the first list that has some, with the list's key.
            ///
            /// All keys must be in one slot.
            ///
            /// Since 7.0, O(n+m) in the numbers of keys and elements.
            fn lmpop_count<R>(keys: impl ToArgs, side: options::Side, count: u64) -> R =
                known!("LMPOP").counted_keys(keys).arg(side).arg("COUNT").arg(count);

            /// [LLEN](https://redis.io/docs/latest/commands/llen/): how many elements there are.
            ///
            /// Since 1.0, O(1).
            fn llen(key: impl ToArg) -> u64 =
                known!("LLEN").key(key);

            /// [BLPOP](https://redis.io/docs/latest/commands/blpop/): takes the first element of the first list that has one, with its key; waits so many seconds for one (0: without end), then nil.
            ///
            /// Takes an exclusive connection by itself, so it delays nobody. The deadline is the time that it may wait and the
            /// client's on top. All keys must be in one slot. Dropping the future may lose an element that the server has taken already.
            ///
            /// Since 2.0, O(n) in the number of keys.
            fn blpop<R>(keys: impl ToArgs, seconds: f64) -> R =
                known!("BLPOP").keys(keys.into_args()).arg(seconds);

            /// [BRPOP](https://redis.io/docs/latest/commands/brpop/): takes the last element of the first list that has one; otherwise as `blpop`.
            ///
            /// Since 2.0, O(n) in the number of keys.
            fn brpop<R>(keys: impl ToArgs, seconds: f64) -> R =
                known!("BRPOP").keys(keys.into_args()).arg(seconds);

            /// [BLMOVE](https://redis.io/docs/latest/commands/blmove/): as `lmove`, and waits so many seconds for an element (0: without end), then nil.
            ///
            /// Takes an exclusive connection, as `blpop` does; the same is true of its deadline and of dropping the
            /// future.
            ///
            /// Since 6.2, O(1).
            fn blmove<R>(
                source: impl ToArg,
                destination: impl ToArg,
                from: options::Side,
                to: options::Side,
                seconds: f64
            ) -> R =
                known!("BLMOVE").key(source).key(destination).arg(from).arg(to).arg(seconds);

            /// [BRPOPLPUSH](https://redis.io/docs/latest/commands/brpoplpush/): as `rpoplpush`, and waits so many seconds for an element (0: without end), then nil.
            ///
            /// Takes an exclusive connection, as `blpop` does.
            ///
            /// Since 2.2, O(1).
            fn brpoplpush<R>(source: impl ToArg, destination: impl ToArg, seconds: f64) -> R =
                known!("BRPOPLPUSH").key(source).key(destination).arg(seconds);

            /// [BLMPOP](https://redis.io/docs/latest/commands/blmpop/): as `lmpop`, and waits so many seconds for an element (0: without end), then nil.
            ///
            /// Takes an exclusive connection, as `blpop` does. All keys must be in one slot.
            ///
            /// Since 7.0, O(n) in the number of keys.
            fn blmpop<R>(seconds: f64, keys: impl ToArgs, side: options::Side) -> R =
                known!("BLMPOP").arg(seconds).counted_keys(keys).arg(side);

            /// [BLMPOP](https://redis.io/docs/latest/commands/blmpop/): as `lmpop_count`, and waits so many seconds for an element (0: without end), then nil.
            ///
            /// Takes an exclusive connection, as `blpop` does. All keys must be in one slot.
            ///
            /// Since 7.0, O(n+m) in the numbers of keys and elements.
            fn blmpop_count<R>(seconds: f64, keys: impl ToArgs, side: options::Side, count: u64) -> R =
                known!("BLMPOP").arg(seconds).counted_keys(keys).arg(side).arg("COUNT").arg(count);
        }
    };
}

pub(crate) use list_commands;
