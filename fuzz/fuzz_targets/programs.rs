//! Random programs through every check: `cargo +nightly fuzz run programs`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ptelab::KernelRules;
use ptelab::fuzz::{Coverage, Plan, Planned, Size, program, scenario_text};

fuzz_target!(|bytes: &[u8]| {
    let Some((&case, bytes)) = bytes.split_first() else { return };
    let Ok(lines) = program(bytes, Size::SMALL) else { return };
    let kernels = KernelRules::asked().collect();
    let plan = Plan::new(ptelab::port_names(), kernels, Size::SMALL);
    if let Err(found) = plan.run(case.into(), &lines, &mut Coverage::default()) {
        panic!("{}", scenario_text(&found, None));
    }
});
