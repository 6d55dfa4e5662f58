//! Programs that `ptelab fuzz` found, as files.

use crate::args;
use crate::output::{self, Failed};
use crate::progress;
use ptelab::fuzz::{Found, c_program, scenario_file};
use std::path::Path;

/// Writes a program where the options say, as a scenario and as a C program.
pub(crate) fn save(args: &args::Fuzz, found: &Found) -> Result<(), Failed> {
    let write = |path: &Path, text: String| {
        output::write_file(path, text.as_bytes())?;
        progress::warn(&format!("{}: the program is written", path.display()));
        Ok(())
    };
    if let Some(path) = &args.out {
        write(path, scenario_file(found))?;
    }
    match &args.emit_c {
        Some(path) => write(path, c_program(&found.lines)),
        None => Ok(()),
    }
}
