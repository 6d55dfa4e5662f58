//! Building the guest program, and packing it for the kernel.

use cpio::newc::{self, Builder, ModeFileType};
use ptelab::real::qemu::{GUESTS, Guest};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::Command;

/// Builds what there is a compiler for; says what is missing for the rest.
pub(crate) fn build_all() -> Result<bool, String> {
    let out = crate::tree::root().join("target/guest");
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut all = true;
    for guest in &GUESTS {
        match build(guest, &out) {
            Ok(()) => println!("target/guest/{}", guest.initramfs()),
            Err(error) => {
                eprintln!("xtask: {}: {error}", guest.port);
                all = false;
            }
        }
    }
    Ok(all)
}

fn build(guest: &Guest, out: &Path) -> Result<(), String> {
    let Guest { port, compiler, compiler_packages, .. } = guest;
    let program = out.join(format!("guest.{port}"));
    let status = Command::new(compiler)
        .args(["-static", "-O2", "-Wall", "-Wextra", "-o"])
        .arg(&program)
        .arg(crate::tree::root().join("guest/guest.c"))
        .status();
    let status = status.map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("{compiler} is not installed (Debian: {compiler_packages})"),
        _ => format!("{compiler}: {error}"),
    })?;
    if !status.success() {
        return Err(format!("{compiler}: {status}"));
    }
    let failed = |error: io::Error| format!("{}: {error}", program.display());
    let archive = initramfs(&fs::read(&program).map_err(failed)?).map_err(failed)?;
    fs::write(out.join(guest.initramfs()), archive).map_err(failed)
}

/// An archive with the program as /init, and the console that the kernel opens for it.
fn initramfs(program: &[u8]) -> io::Result<Vec<u8>> {
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
