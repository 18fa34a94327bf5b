#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pgvigil_fuzz::server_log(data));
