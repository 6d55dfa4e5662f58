//! Tests that are files: one trial or more for each scenario, golden file and log.

mod agreement;
mod golden;
mod logs;
mod parts;
mod scenarios;

use libtest_mimic::Arguments;

fn main() {
    ptelab::register_ports();
    let args = Arguments::from_args();
    let trials =
        [agreement::trials(), golden::trials(), logs::trials(), parts::trials(), scenarios::trials()];
    libtest_mimic::run(&args, trials.into_iter().flatten().collect()).exit();
}
