use crate::commands::encoding::{Typed, encodes};

#[test]
fn json_is_encoded_as_its_modules_read_it() {
    encodes! {
        Typed::json_set("j", "$", "{}") => "JSON.SET j $ {}";
        Typed::json_set_nx("j", "$", "{}") => "JSON.SET j $ {} NX";
        Typed::json_set_xx("j", "$", "{}") => "JSON.SET j $ {} XX";
        Typed::json_get("j", "$.a") => "JSON.GET j $.a";
        Typed::json_get_paths("j", ["$.a", "$.b"]) => "JSON.GET j $.a $.b";
        Typed::json_mget(["{j}1", "{j}2"], "$.a") => "JSON.MGET {j}1 {j}2 $.a";
        Typed::json_mset([("{j}1", "$", 1), ("{j}2", "$.a", 2)]) => "JSON.MSET {j}1 $ 1 {j}2 $.a 2";
        Typed::json_merge("j", "$", "{}") => "JSON.MERGE j $ {}";
        Typed::json_del("j", "$.a") => "JSON.DEL j $.a";
        Typed::json_forget("j", "$.a") => "JSON.FORGET j $.a";
        Typed::json_clear("j", "$.a") => "JSON.CLEAR j $.a";
        Typed::json_type("j", "$.a") => "JSON.TYPE j $.a";
        Typed::json_numincrby("j", "$.a", 1.5) => "JSON.NUMINCRBY j $.a 1.5";
        Typed::json_nummultby("j", "$.a", 2.0) => "JSON.NUMMULTBY j $.a 2";
        Typed::json_strappend("j", "$.a", "\"x\"") => "JSON.STRAPPEND j $.a \"x\"";
        Typed::json_strlen("j", "$.a") => "JSON.STRLEN j $.a";
        Typed::json_toggle("j", "$.a") => "JSON.TOGGLE j $.a";
        Typed::json_arrappend("j", "$.a", [1, 2]) => "JSON.ARRAPPEND j $.a 1 2";
        Typed::json_arrindex("j", "$.a", 1) => "JSON.ARRINDEX j $.a 1";
        Typed::json_arrinsert("j", "$.a", 0, [1, 2]) => "JSON.ARRINSERT j $.a 0 1 2";
        Typed::json_arrlen("j", "$.a") => "JSON.ARRLEN j $.a";
        Typed::json_arrpop("j", "$.a", -1) => "JSON.ARRPOP j $.a -1";
        Typed::json_arrtrim("j", "$.a", 0, 1) => "JSON.ARRTRIM j $.a 0 1";
        Typed::json_objkeys("j", "$.a") => "JSON.OBJKEYS j $.a";
        Typed::json_objlen("j", "$.a") => "JSON.OBJLEN j $.a";
    }
}

/// The command table does not know modules: what their commands are is said by the entries.
#[test]
fn json_goes_by_its_key_and_only_reads_are_repeated() {
    let slot = crate::slot::Slot::of_key(b"j");
    assert_eq!(Typed::json_get("j", "$").marked_slot(), Some(slot));
    assert_eq!(Typed::json_mget(["{j}1", "{j}2"], "$").marked_slot(), Some(slot));
    assert!(Typed::json_get("j", "$").may_repeat());
    assert!(!Typed::json_numincrby("j", "$", 1.0).may_repeat());
    assert!(!Typed::json_set_nx("j", "$", 1).may_repeat());
}
