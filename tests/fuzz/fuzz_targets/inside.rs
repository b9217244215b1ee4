#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| imprint_fuzz::inspect::<inspector_disk::DiskInspector>(input));
