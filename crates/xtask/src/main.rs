//! Chores of the project: `cargo xtask guest`, `cargo xtask golden`, `cargo xtask new-port`, `cargo xtask playground`.

#[cfg(all(feature = "all", target_os = "linux"))]
mod golden;
#[cfg(all(feature = "all", target_os = "linux"))]
mod guest;
mod new_port;
#[cfg(feature = "all")]
mod playground;
mod tree;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Chores of the project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 110)]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Build the guest program of `ptelab verify --qemu` for every architecture that there is a compiler for
    Guest,
    /// Make golden files anew: run the scenarios of fixtures/golden on kernel images under QEMU
    Golden {
        /// Where the files go
        out: PathBuf,
        /// The folder with the images, named vmlinuz-KERNEL-PORT as in vmlinuz-6.17-arm64; x86_64 may be amd64
        #[arg(long, value_name = "FOLDER")]
        images: PathBuf,
        /// The folder with the golden files to make anew, where that is not fixtures/golden
        #[arg(long, value_name = "FOLDER")]
        known: Option<PathBuf>,
        /// Only files whose name contains this
        #[arg(long, value_name = "TEXT", default_value = "")]
        only: String,
        /// Boot the image anew for each scenario
        #[arg(long)]
        fresh: bool,
    },
    /// Make a new port: a folder with the files of every port, whose laws hold, and the lines that make it known
    NewPort {
        /// Its name, as on the command line: sparc64
        name: String,
    },
    /// Build the playground: the emulator in a page that a browser opens from disk
    Playground {
        /// Where the page goes, where that is not target/playground.html
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = run(&Args::parse().chore);
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}

/// Says whether everything is as it should be.
#[cfg(not(feature = "all"))]
fn run(chore: &Chore) -> Result<bool, String> {
    if let Chore::NewPort { name } = chore {
        return new_port::make(name);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut again = std::process::Command::new(cargo);
    again.args(["run", "--package", "xtask", "--features", "all", "--manifest-path"]);
    again.arg(tree::root().join("Cargo.toml")).arg("--").args(std::env::args_os().skip(1));
    again.status().map(|status| status.success()).map_err(|error| format!("cargo: {error}"))
}

/// Says whether everything is as it should be.
#[cfg(all(feature = "all", target_os = "linux"))]
fn run(chore: &Chore) -> Result<bool, String> {
    ptelab::register_ports();
    match chore {
        Chore::Guest => guest::build_all(),
        Chore::Golden { out, images, known, only, fresh } => {
            golden::make(out, images, known.as_deref(), only, *fresh)
        }
        Chore::NewPort { name } => new_port::make(name),
        Chore::Playground { output } => playground::build(output.as_deref()),
    }
}

#[cfg(all(feature = "all", not(target_os = "linux")))]
fn run(chore: &Chore) -> Result<bool, String> {
    ptelab::register_ports();
    match chore {
        Chore::NewPort { name } => new_port::make(name),
        Chore::Playground { output } => playground::build(output.as_deref()),
        _ => Err("the host is no Linux".to_owned()),
    }
}
