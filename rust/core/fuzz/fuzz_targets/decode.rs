//! Any bytes are read alike by the path for the usual shapes, by the general path and by
//! `serde_json`, or refused by all three; and none of them panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/reference/mod.rs"]
mod reference;

fuzz_target!(|bytes: &[u8]| reference::assert_agreement(bytes));
