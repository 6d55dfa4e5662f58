//! The ports and kernels that commands run on unless told otherwise: what they do, and what their help says, are one.

use crate::args::Args;
use crate::machines;
use crate::names::{kernels_help, ports_help};
use clap::{Command, CommandFactory};
use ptelab::{DEFAULT_PORTS, KernelRules};

/// What one command runs on, and what it makes of kernel images.
pub(crate) struct Defaults {
    command: &'static str,
    /// Ports, as --arch takes them.
    pub(crate) ports: &'static str,
    kernels: fn() -> String,
    /// What else is to be said of its ports.
    of_ports: &'static str,
    images: &'static str,
}

const BOOTED: &str = "images, as arch/arm64/boot/Image, which are booted under QEMU";
const BESIDE: &str = "images, as arch/arm64/boot/Image: what happens within a call is shown of the emulated kernel nearest to each";

fn newest() -> String {
    KernelRules::DEFAULT.name.to_owned()
}

pub(crate) const RUN: Defaults =
    Defaults { command: "run", ports: DEFAULT_PORTS, kernels: newest, of_ports: "", images: BOOTED };
pub(crate) const COMPARE: Defaults = Defaults { command: "compare", kernels: machines::compared, ..RUN };
pub(crate) const REPLAY: Defaults = Defaults {
    command: "replay",
    ports: "x86_64,arm64",
    kernels: machines::before_and_default,
    images: BESIDE,
    ..RUN
};
pub(crate) const COST: Defaults = Defaults {
    command: "cost",
    ports: "arm64,x86_64",
    of_ports: "; of a cost file, its own",
    images: "images and nothing else, which are measured under QEMU",
    ..RUN
};
pub(crate) const BENCH: Defaults = Defaults {
    command: "bench",
    of_ports: "; with --scale, arm64 and the newest kernel",
    images: "",
    ..COMPARE
};
pub(crate) const REPORT: Defaults = Defaults { command: "report", ports: "arm64,x86_64", ..REPLAY };
pub(crate) const TIMELINE: Defaults = Defaults { command: "timeline", ..REPORT };
pub(crate) const STEP: Defaults = Defaults { command: "step", ..REPORT };
pub(crate) const EXPLAIN: Defaults =
    Defaults { command: "explain", ports: "arm64", kernels: newest, ..REPORT };

const ALL: [&Defaults; 9] = [&RUN, &COMPARE, &REPLAY, &COST, &BENCH, &REPORT, &TIMELINE, &STEP, &EXPLAIN];

impl Defaults {
    /// Kernels, as --kernel takes them.
    pub(crate) fn kernels(&self) -> String {
        (self.kernels)()
    }
}

/// The command line, with what each command runs on in its help.
pub(crate) fn command() -> Command {
    ALL.iter().fold(Args::command(), |program, of| {
        let ports = format!("{} [default: {}{}]", ports_help(), of.ports, of.of_ports);
        let kernels = format!("{} [default: {}]", kernels_help(of.images), of.kernels());
        program.mut_subcommand(of.command, |command| {
            command.mut_arg("arch", |arg| arg.help(ports)).mut_arg("kernel", |arg| arg.help(kernels))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_takes_machines_says_which_it_has_by_itself() {
        for command in command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = |id| {
                command
                    .get_arguments()
                    .find(|arg| arg.get_id() == id)
                    .map(|arg| (arg.get_help(), arg.get_default_values()))
            };
            if let (Some((ports, of_ports)), Some((kernels, of_kernels))) = (help("arch"), help("kernel"))
                && command.get_arguments().any(|arg| arg.get_id() == "cpu")
            {
                for (text, own) in [(ports, of_ports), (kernels, of_kernels)] {
                    let text = text.map(ToString::to_string).unwrap_or_default();
                    assert!(text.contains("[default: ") || !own.is_empty(), "{}: {text}", command.get_name());
                }
            }
        }
    }
}
