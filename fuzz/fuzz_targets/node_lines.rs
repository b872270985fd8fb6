#![no_main]
#![allow(dead_code, reason = "each target runs one of the checks")]

#[path = "../../tests/fuzz_checks/mod.rs"]
mod fuzz_checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_checks::node_lines::check(bytes));
