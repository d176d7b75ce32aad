//! A document of this format, as a whole and by its parts.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| formats::fuzz(data, context::parse::Format::Pptx));
