//! Building the guest program, and packing it for the kernel.

use ptelab::real::qemu::{GUESTS, build_program};
use std::fs;

/// Builds what there is a compiler for; says what is missing for the rest.
pub(crate) fn build_all() -> Result<bool, String> {
    let out = crate::tree::root().join("target/guest");
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut all = true;
    for guest in &GUESTS {
        match build_program(guest, &out) {
            Ok(_) => println!("target/guest/{}", guest.initramfs()),
            Err(error) => {
                eprintln!("xtask: {}: {error}", guest.port);
                all = false;
            }
        }
    }
    Ok(all)
}
