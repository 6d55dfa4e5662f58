//! Every command of `ptelab`, with one more port: `cargo run -p own-port -- compare FILE --arch own,arm64`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ptelab_cli::main_with::<own_port::Own>()
}
