//! JSON documents, on servers with a JSON module; with the feature `json`.

macro_rules! json_commands {
    ($render:ident) => {
        $render! {
            /// [JSON.SET](https://redis.io/docs/latest/commands/json.set/): sets the value at `path` (`"$"` is the whole document), made by [`Json`](crate::json::Json) or [`to_json`](crate::json::to_json).
            ///
            /// A new document must be set at its root; a value that is no JSON is an error.
            ///
            /// Since JSON 1.0, O(m+n) in the sizes of the old and the new value.
            fn json_set(key: impl ToArg, path: impl ToArg, value: impl ToArg) -> () =
                Command::new("JSON.SET").key(key).arg(path).arg(value);

            /// [JSON.SET](https://redis.io/docs/latest/commands/json.set/): sets the value at `path` unless there is one; tells whether it did.
            ///
            /// Since JSON 1.0, O(n) in the size of the value.
            fn json_set_nx(key: impl ToArg, path: impl ToArg, value: impl ToArg) -> bool =
                Command::new("JSON.SET").key(key).arg(path).arg(value).arg("NX");

            /// [JSON.SET](https://redis.io/docs/latest/commands/json.set/): sets the value at `path` if there is one; tells whether it did.
            ///
            /// Since JSON 1.0, O(m+n) in the sizes of the old and the new value.
            fn json_set_xx(key: impl ToArg, path: impl ToArg, value: impl ToArg) -> bool =
                Command::new("JSON.SET").key(key).arg(path).arg(value).arg("XX");

            /// [JSON.GET](https://redis.io/docs/latest/commands/json.get/): the values at `path`: `Option<Json<Vec<T>>>` for a path that begins with `$`.
            ///
            /// A path that begins with `.` brings the first of them alone: `Option<Json<T>>`.
            ///
            /// Since JSON 1.0, O(n) in the size of the values.
            fn json_get<R>(key: impl ToArg, path: impl ToArg) -> R =
                Command::new("JSON.GET").key(key).arg(path).idempotent();

            /// [JSON.GET](https://redis.io/docs/latest/commands/json.get/): the values at several paths, as an object with a list for each.
            ///
            /// Since JSON 1.0, O(n) in the size of the values.
            fn json_get_paths<R>(key: impl ToArg, paths: impl ToArgs) -> R =
                Command::new("JSON.GET").key(key).args(paths.into_args()).idempotent();

            /// [JSON.MGET](https://redis.io/docs/latest/commands/json.mget/): the values at one path of several documents: `Vec<Option<Json<Vec<T>>>>`.
            ///
            /// Keys may be in any slots: it is split by them, as `MGET` is, and answered in the order of the keys.
            ///
            /// Since JSON 1.0, O(n) in the size of the values.
            fn json_mget<R>(keys: impl ToArgs, path: impl ToArg) -> R =
                Command::new("JSON.MGET").keys(keys.into_args()).arg(path).idempotent();

            /// [JSON.MSET](https://redis.io/docs/latest/commands/json.mset/): sets values in several documents, all or none: each with its key and its path.
            ///
            /// All keys must be in one slot: in parts it would not be all or none, so it is never split.
            ///
            /// Since JSON 2.6, O(n) in the size of the values.
            fn json_mset(values: impl IntoIterator<Item = (impl ToArg, impl ToArg, impl ToArg)>) -> () =
                Command::new("JSON.MSET").key_pairs(values);

            /// [JSON.MERGE](https://redis.io/docs/latest/commands/json.merge/): merges a value into that at `path`, as RFC 7396 says: null deletes.
            ///
            /// Since JSON 2.6, O(m+n) in the sizes of the old and the new value.
            fn json_merge(key: impl ToArg, path: impl ToArg, value: impl ToArg) -> () =
                Command::new("JSON.MERGE").key(key).arg(path).arg(value);

            /// [JSON.DEL](https://redis.io/docs/latest/commands/json.del/): deletes the values at `path`; how many there were.
            ///
            /// Since JSON 1.0, O(n) in the size of the values.
            fn json_del(key: impl ToArg, path: impl ToArg) -> u64 =
                Command::new("JSON.DEL").key(key).arg(path);

            /// [JSON.FORGET](https://redis.io/docs/latest/commands/json.forget/): the other name of `json_del`.
            ///
            /// Since JSON 1.0, O(n) in the size of the values.
            fn json_forget(key: impl ToArg, path: impl ToArg) -> u64 =
                Command::new("JSON.FORGET").key(key).arg(path);

            /// [JSON.CLEAR](https://redis.io/docs/latest/commands/json.clear/): empties lists and objects at `path` and sets numbers to 0; how many there were.
            ///
            /// Since JSON 2.0, O(n) in the size of the values.
            fn json_clear(key: impl ToArg, path: impl ToArg) -> u64 =
                Command::new("JSON.CLEAR").key(key).arg(path);

            /// [JSON.TYPE](https://redis.io/docs/latest/commands/json.type/): the types of the values at `path`: `integer`, `string`, `object`, ...
            ///
            /// For a path that begins with `$` a `Vec<String>` in RESP2; in RESP3 that is the one element of another list.
            ///
            /// Since JSON 1.0, O(n) in the number of values.
            fn json_type<R>(key: impl ToArg, path: impl ToArg) -> R =
                Command::new("JSON.TYPE").key(key).arg(path).idempotent();

            /// [JSON.NUMINCRBY](https://redis.io/docs/latest/commands/json.numincrby/): adds to the numbers at `path`; the new ones, nil for what is no number: `Json<Vec<Option<f64>>>`.
            ///
            /// A path that begins with `.` brings the number alone in RESP2, and a list of one in RESP3.
            ///
            /// Since JSON 1.0, O(n) in the number of values.
            fn json_numincrby<R>(key: impl ToArg, path: impl ToArg, increment: f64) -> R =
                Command::new("JSON.NUMINCRBY").key(key).arg(path).arg(increment);

            /// [JSON.NUMMULTBY](https://redis.io/docs/latest/commands/json.nummultby/): multiplies the numbers at `path`; the new ones, nil for what is no number: `Json<Vec<Option<f64>>>`.
            ///
            /// Since JSON 1.0, O(n) in the number of values.
            fn json_nummultby<R>(key: impl ToArg, path: impl ToArg, factor: f64) -> R =
                Command::new("JSON.NUMMULTBY").key(key).arg(path).arg(factor);

            /// [JSON.STRAPPEND](https://redis.io/docs/latest/commands/json.strappend/): appends a text, written as JSON, to the texts at `path`; their new lengths, nil for what is no text.
            ///
            /// Since JSON 1.0, O(n) in the number of values.
            fn json_strappend<R>(key: impl ToArg, path: impl ToArg, value: impl ToArg) -> R =
                Command::new("JSON.STRAPPEND").key(key).arg(path).arg(value);

            /// [JSON.STRLEN](https://redis.io/docs/latest/commands/json.strlen/): the lengths of the texts at `path`, nil for what is no text: `Vec<Option<u64>>`.
            ///
            /// Since JSON 1.0, O(n) in the number of values.
            fn json_strlen<R>(key: impl ToArg, path: impl ToArg) -> R =
                Command::new("JSON.STRLEN").key(key).arg(path).idempotent();

            /// [JSON.TOGGLE](https://redis.io/docs/latest/commands/json.toggle/): turns the truth values at `path` round; the new ones as 0 or 1, nil for what is none.
            ///
            /// Since JSON 2.0, O(n) in the number of values.
            fn json_toggle<R>(key: impl ToArg, path: impl ToArg) -> R =
                Command::new("JSON.TOGGLE").key(key).arg(path);

            /// [JSON.ARRAPPEND](https://redis.io/docs/latest/commands/json.arrappend/): appends values to the lists at `path`; their new lengths, nil for what is no list: `Vec<Option<u64>>`.
            ///
            /// Since JSON 1.0, O(n) in the number of lists.
            fn json_arrappend<R>(key: impl ToArg, path: impl ToArg, values: impl ToArgs) -> R =
                Command::new("JSON.ARRAPPEND").key(key).arg(path).args(values.into_args());

            /// [JSON.ARRINDEX](https://redis.io/docs/latest/commands/json.arrindex/): where the first such value is in the lists at `path`, -1 where there is none.
            ///
            /// Since JSON 1.0, O(n) in the length of the lists.
            fn json_arrindex<R>(key: impl ToArg, path: impl ToArg, value: impl ToArg) -> R =
                Command::new("JSON.ARRINDEX").key(key).arg(path).arg(value).idempotent();

            /// [JSON.ARRINSERT](https://redis.io/docs/latest/commands/json.arrinsert/): puts values into the lists at `path` before the place `index`; their new lengths.
            ///
            /// A place outside of a list is an error.
            ///
            /// Since JSON 1.0, O(n) in the length of the lists.
            fn json_arrinsert<R>(key: impl ToArg, path: impl ToArg, index: i64, values: impl ToArgs) -> R =
                Command::new("JSON.ARRINSERT").key(key).arg(path).arg(index).args(values.into_args());

            /// [JSON.ARRLEN](https://redis.io/docs/latest/commands/json.arrlen/): the lengths of the lists at `path`, nil for what is no list: `Vec<Option<u64>>`.
            ///
            /// Since JSON 1.0, O(n) in the number of values.
            fn json_arrlen<R>(key: impl ToArg, path: impl ToArg) -> R =
                Command::new("JSON.ARRLEN").key(key).arg(path).idempotent();

            /// [JSON.ARRPOP](https://redis.io/docs/latest/commands/json.arrpop/): takes an element (-1: the last) from the lists at `path`: `Vec<Option<Json<T>>>`.
            ///
            /// Since JSON 1.0, O(n) in the length of the lists, O(1) at their end.
            fn json_arrpop<R>(key: impl ToArg, path: impl ToArg, index: i64) -> R =
                Command::new("JSON.ARRPOP").key(key).arg(path).arg(index);

            /// [JSON.ARRTRIM](https://redis.io/docs/latest/commands/json.arrtrim/): keeps the elements from `start` to `stop`, both included; the new lengths of the lists at `path`.
            ///
            /// Since JSON 1.0, O(n) in the length of the lists.
            fn json_arrtrim<R>(key: impl ToArg, path: impl ToArg, start: i64, stop: i64) -> R =
                Command::new("JSON.ARRTRIM").key(key).arg(path).arg(start).arg(stop);

            /// [JSON.OBJKEYS](https://redis.io/docs/latest/commands/json.objkeys/): the names in the objects at `path`: `Vec<Option<Vec<String>>>`.
            ///
            /// Since JSON 1.0, O(n) in their number.
            fn json_objkeys<R>(key: impl ToArg, path: impl ToArg) -> R =
                Command::new("JSON.OBJKEYS").key(key).arg(path).idempotent();

            /// [JSON.OBJLEN](https://redis.io/docs/latest/commands/json.objlen/): how many names the objects at `path` have, nil for what is no object.
            ///
            /// Since JSON 1.0, O(n) in the number of values.
            fn json_objlen<R>(key: impl ToArg, path: impl ToArg) -> R =
                Command::new("JSON.OBJLEN").key(key).arg(path).idempotent();
        }
    };
}

pub(crate) use json_commands;
