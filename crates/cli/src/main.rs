//! The program `ptelab`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ptelab_cli::main()
}
