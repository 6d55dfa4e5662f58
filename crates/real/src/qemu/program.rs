//! The guest program: compiled from its source, which is part of this crate, and packed for the kernel.

use super::guests::Guest;
use crate::real::RealError;
use cpio::newc::{self, Builder, ModeFileType};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SOURCE: &str = include_str!("guest.c");

/// Compiles the guest program of an architecture, and packs it: the archive's path in this folder.
///
/// # Errors
/// Where there is no compiler for it, with the package that has one; where it does not compile.
pub fn build(guest: &Guest, folder: &Path) -> Result<PathBuf, RealError> {
    let failed = || RealError::io(folder.display().to_string());
    let source = folder.join("guest.c");
    let program = folder.join(format!("guest.{}", guest.port));
    fs::write(&source, SOURCE).map_err(failed())?;
    let Output { status, stderr, .. } = compile(guest, &source, &program)?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr).trim_end().to_owned();
        let packages = guest.compiler_packages;
        return Err(RealError::Missing(format!(
            "the guest program does not compile ({status}; Debian: {packages}):\n{said}"
        )));
    }
    let packed = folder.join(guest.initramfs());
    let pack = || fs::write(&packed, archive(&fs::read(&program)?)?);
    pack().map_err(failed())?;
    Ok(packed)
}

/// By the cross compiler; where there is none and the host is of the guest's architecture, by the host's own.
fn compile(guest: &Guest, source: &Path, program: &Path) -> Result<Output, RealError> {
    let own = (guest.host == std::env::consts::ARCH).then_some("cc");
    for compiler in [guest.compiler].into_iter().chain(own) {
        let mut command = Command::new(compiler);
        let [page, huge] = guest.shifts;
        command.args(["-static", "-O2", "-Wall", "-Wextra"]).args(guest.compiler_options);
        command.args([format!("-DPAGE_SHIFT={page}"), format!("-DHUGE_SHIFT={huge}")]);
        // Ctrl-C is for this program, which looks at it as soon as the compiler is done.
        command.arg("-o").arg(program).arg(source).process_group(0);
        match command.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => return done.map_err(RealError::io(compiler)),
        }
    }
    let Guest { compiler, compiler_packages, .. } = guest;
    Err(RealError::Missing(format!(
        "the guest program needs {compiler}, which is not installed (Debian: {compiler_packages})"
    )))
}

/// An archive with the program as /init, and the console that the kernel opens for it.
fn archive(program: &[u8]) -> io::Result<Vec<u8>> {
    let mut archive = Vec::new();
    let file =
        |name: &str, kind: ModeFileType, mode: u32| Builder::new(name).mode(mode).set_mode_file_type(kind);
    file("dev", ModeFileType::Directory, 0o755).write(&mut archive, 0).finish()?;
    let console = file("dev/console", ModeFileType::Char, 0o600).rdev_major(5).rdev_minor(1);
    console.write(&mut archive, 0).finish()?;
    let size = u32::try_from(program.len()).map_err(io::Error::other)?;
    let mut init = file("init", ModeFileType::Regular, 0o755).write(&mut archive, size);
    init.write_all(program)?;
    init.finish()?;
    newc::trailer(&mut archive)?;
    Ok(archive)
}
