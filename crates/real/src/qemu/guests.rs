//! The architectures that QEMU emulates for us.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of an image that say what it is.
const HEAD: u64 = 64 << 10;

/// An architecture that QEMU emulates.
#[derive(Debug)]
pub struct Guest {
    /// The port.
    pub port: &'static str,
    /// Its name as Rust has it.
    pub(super) host: &'static str,
    /// QEMU's program for it.
    pub qemu: &'static str,
    /// The Debian package of that.
    pub qemu_package: &'static str,
    /// The C compiler that makes the guest program.
    pub compiler: &'static str,
    /// The Debian packages of that.
    pub compiler_packages: &'static str,
    /// QEMU's machine and CPU.
    pub(super) machine: [&'static str; 2],
    pub(super) console: &'static str,
    /// The register that points to the topmost table, and the bits of it that do.
    pub(super) root: (&'static str, u64),
    /// The register that tells user mode, by these bits having this value.
    pub(super) mode: (&'static str, u64, u64),
    /// The physical address at which memory begins.
    pub(super) ram: u64,
}

/// Every architecture that QEMU emulates for us.
pub const GUESTS: [Guest; 2] = [
    Guest {
        port: "arm64",
        host: "aarch64",
        qemu: "qemu-system-aarch64",
        qemu_package: "qemu-system-arm",
        compiler: "aarch64-linux-gnu-gcc",
        compiler_packages: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        machine: ["virt,gic-version=3", "max,pauth=off,sve=off,sme=off,lpa2=off"],
        console: "ttyAMA0",
        root: ("TTBR0_EL1", 0x0000_ffff_ffff_f000),
        mode: ("cpsr", 0xf, 0),
        ram: 1 << 30,
    },
    Guest {
        port: "x86_64",
        host: "x86_64",
        qemu: "qemu-system-x86_64",
        qemu_package: "qemu-system-x86",
        compiler: "x86_64-linux-gnu-gcc",
        compiler_packages: "gcc-x86-64-linux-gnu libc6-dev-amd64-cross",
        machine: ["q35", "max,la57=off"],
        console: "ttyS0",
        root: ("cr3", 0x000f_ffff_ffff_f000),
        mode: ("cs", 3, 3),
        ram: 0,
    },
];

impl Guest {
    /// The guest of a port.
    pub fn of(port: &str) -> Option<&'static Self> {
        GUESTS.iter().find(|guest| guest.port == port)
    }

    /// The guest that an image is a kernel of, as the image's first bytes say it.
    pub fn of_image(path: &Path) -> Option<&'static Self> {
        let mut head = Vec::new();
        File::open(path).ok()?.take(HEAD).read_to_end(&mut head).ok()?;
        port_of_image(&head).and_then(Self::of)
    }

    /// The name of the file that holds the guest program, packed for the kernel.
    pub fn initramfs(&self) -> String {
        format!("guest-{}.cpio", self.port)
    }
}

/// By the boot protocol's header (`Documentation/arch/x86/boot.rst`, `Documentation/arch/arm64/booting.rst`), or the machine that
/// an EFI program is for.
fn port_of_image(head: &[u8]) -> Option<&'static str> {
    if head.get(0x202..0x206) == Some(b"HdrS") {
        return Some("x86_64");
    }
    if head.get(56..60) == Some(b"ARM\x64") {
        return Some("arm64");
    }
    let at = u32::from_le_bytes(head.get(0x3c..0x40)?.try_into().ok()?) as usize;
    match head.get(at..at.checked_add(6)?)? {
        b"PE\0\0\x64\xaa" => Some("arm64"),
        b"PE\0\0\x64\x86" => Some("x86_64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_say_what_they_are() {
        let with = |at: usize, bytes: &[u8]| {
            let mut head = vec![0; 1024];
            head[at..at + bytes.len()].copy_from_slice(bytes);
            head
        };
        assert_eq!(port_of_image(&with(0x202, b"HdrS")), Some("x86_64"));
        assert_eq!(port_of_image(&with(56, b"ARM\x64")), Some("arm64"));
        let mut zboot = with(0x40, b"PE\0\0\x64\xaa");
        zboot[0x3c] = 0x40;
        assert_eq!(port_of_image(&zboot), Some("arm64"));
        for other in [&b""[..], b"MZ", &[0xff; 70]] {
            assert_eq!(port_of_image(other), None);
        }
    }
}
