//! The program `ptelab`, a thin skin over the library of the same name, as a function: so a port from outside has every command
//! by a `main` of its own.
//!
//! ```no_run
//! # use ptelab::pgtable::laws::PortFacts;
//! # fn with<Own: PortFacts>() -> std::process::ExitCode {
//! ptelab_cli::main_with::<Own>()
//! # }
//! ```

mod args;
mod bench;
mod beside;
mod check;
mod compare;
mod cost;
#[cfg_attr(not(target_os = "linux"), path = "cost_other.rs")]
mod cost_real;
mod defaults;
mod exit;
mod explain;
mod found;
mod from_pid;
mod fuzz;
#[cfg_attr(not(target_os = "linux"), path = "fuzz_other.rs")]
mod fuzz_real;
mod input;
mod kconfig;
mod kernels;
#[cfg_attr(not(target_os = "linux"), path = "learn_other.rs")]
mod learn_real;
mod logs;
mod machines;
mod manual;
mod names;
mod output;
mod progress;
mod replay;
mod report;
mod run;
#[cfg_attr(not(target_os = "linux"), path = "series_other.rs")]
mod series;
mod step;
mod timeline;
mod traced;
mod verdict;
mod verify;
#[cfg_attr(not(target_os = "linux"), path = "verify_other.rs")]
mod verify_real;
mod watch;

use args::{Args, Command};
use clap::FromArgMatches;
use output::{Failed, Out};
use ptelab::pgtable::laws::PortFacts;
use std::process::ExitCode;

/// The program, with one more port.
///
/// # Panics
/// Where the project has a port of this name.
pub fn main_with<P: PortFacts>() -> ExitCode {
    ptelab::register::<P>();
    main()
}

/// The program.
pub fn main() -> ExitCode {
    ptelab::register_ports();
    let read = defaults::command().try_get_matches().and_then(|matches| Args::from_arg_matches(&matches));
    let args = match read {
        Ok(args) => args,
        Err(said) => return ExitCode::from(say(&said)),
    };
    output::log(args.verbose);
    let mut out = Out::new();
    let done = match &args.command {
        Command::Run(args) => run::run(args, &mut out),
        Command::Compare(args) => compare::compare(args, &mut out),
        Command::Verify(args) => verify::verify(args, &mut out),
        Command::Replay(args) => replay::replay(args, &mut out),
        Command::FromPid(args) => from_pid::from_pid(args, &mut out),
        Command::Watch(args) => watch::watch(args, &mut out),
        Command::Cost(args) => cost::cost(args, &mut out),
        Command::Bench(args) => bench::bench(args, &mut out),
        Command::Check(args) => check::check(args, &mut out),
        Command::Fuzz(args) => fuzz::fuzz(args, &mut out),
        Command::Learn(args) => learn_real::learn(args, &mut out),
        Command::Kernels(args) => kernels::kernels(args, &mut out),
        Command::Series(args) => series::series(args, &mut out),
        Command::HostPlay => verify_real::play(),
        Command::HostKeep => verify_real::keep(),
        Command::Report(args) => report::report(args, &mut out),
        Command::Explain(args) => explain::explain(args, &mut out),
        Command::Timeline(args) => timeline::timeline(args, &mut out),
        Command::Step(args) => step::step(args, &mut out),
        Command::Kconfig => kconfig::kconfig(&mut out),
        Command::Calls => manual::calls(&mut out),
        Command::Counters => manual::counters(&mut out),
        Command::Ports => manual::ports(&mut out),
        Command::Completions { shell } => manual::completions(*shell, &mut out),
        Command::Man(args) => manual::man(args, &mut out),
    };
    let done = done.and_then(|code| out.flush().map(|()| code).map_err(Failed::from));
    ExitCode::from(done.unwrap_or_else(|failed| failed.report()))
}

/// Prints help, the version, or what is wrong with the command line; the exit status.
fn say(said: &clap::Error) -> u8 {
    match said.print() {
        Err(error) => Failed::from(error).report(),
        Ok(()) => u8::try_from(said.exit_code()).unwrap_or(exit::UNUSABLE),
    }
}
