//! Whatever a PostgreSQL server says, in pieces of any length.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sql_postgres::fuzz(data));
