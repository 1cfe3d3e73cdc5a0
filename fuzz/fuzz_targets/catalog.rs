//! Whatever an operator gives to `catalog apply`: accepted, or told why not in lines that a terminal does not obey.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match ctl::check_catalog(bytes.to_vec()) {
        Ok(()) => {}
        Err(ctl::Error::Input(problems)) => {
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(problem.len() > "file: ".len() && !problem.contains(char::is_control), "{problem:?}");
            }
        }
        Err(other) => panic!("{other:?}"),
    }
});
