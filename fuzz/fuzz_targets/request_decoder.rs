//! `cargo +nightly fuzz run request_decoder`: no input makes the decoder panic, and
//! none is decoded differently for being cut differently.
#![no_main]

#[path = "../../tests/resp_support/cuts.rs"]
mod cuts;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cuts::check(data));
