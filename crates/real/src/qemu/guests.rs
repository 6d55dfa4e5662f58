//! The architectures that QEMU emulates for us.

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
        machine: ["virt,gic-version=3", "max,pauth-impdef=on,lpa2=off"],
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

    /// The name of the file that holds the guest program, packed for the kernel.
    pub fn initramfs(&self) -> String {
        format!("guest-{}.cpio", self.port)
    }
}
