#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| imprint_fuzz::read::<format_ova::Ova>(input));
