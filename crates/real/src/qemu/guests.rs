//! The architectures that QEMU emulates for us.

use crate::real::Root;

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
    /// The oldest release of QEMU that it was tried with.
    pub qemu_release: &'static str,
    /// The C compiler that makes the guest program.
    pub compiler: &'static str,
    /// The Debian packages of that.
    pub compiler_packages: &'static str,
    /// What the compiler is told beside.
    pub(super) compiler_options: &'static [&'static str],
    /// QEMU's machine and CPU.
    pub(super) machine: [&'static str; 2],
    pub(super) console: &'static str,
    /// What the kernel is told beside.
    pub(super) append: &'static str,
    /// Memory, in bytes: some dozens of huge pages.
    pub memory: u64,
    /// Log2 of the bytes in a page, and in a huge page.
    pub(super) shifts: [u32; 2],
    /// Where the topmost table is said.
    pub(super) root: Place,
    /// The topmost table, from that.
    pub(super) read_root: fn(u64) -> Root,
    /// What tells user mode: these bits have this value.
    pub(super) mode: (Place, u64, u64),
    /// The physical addresses at which memory begins, each with the bytes there at most.
    pub(super) ram: &'static [(u64, u64)],
    /// The order of bytes in the words of programs, and in those of tables.
    pub(super) orders: [Order; 2],
    /// The CPU feature that makes addresses larger, as the port and QEMU call it, and the levels of tables then.
    pub wide: Option<(&'static str, u8)>,
    /// Whether there are machines of several nodes.
    pub nodes: bool,
    /// What QEMU's CPUs lack that kernels have use for: the name in [`OPTIONS`](super::OPTIONS), and why.
    pub(super) lacks: &'static [(&'static str, &'static str)],
}

/// Where a machine says something of itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In a register of its gdb stub.
    Register(&'static str),
    /// In a line of its monitor's `info registers`.
    Monitor(&'static str),
    /// In memory: a table of all address spaces.
    ProcessTable,
}

/// The order of bytes in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// A word as it stands in memory from its value, and the other way around.
    pub(super) const fn word(self, word: u64) -> u64 {
        match self {
            Self::Little => word.to_le(),
            Self::Big => word.to_be(),
        }
    }

    /// The same for a number of 32 bits.
    pub(super) const fn number(self, number: u32) -> u32 {
        match self {
            Self::Little => number.to_le(),
            Self::Big => number.to_be(),
        }
    }
}

const LITTLE: [Order; 2] = [Order::Little; 2];
/// Memory from an address on, as much as there is.
const ALL: u64 = u64::MAX;
const MIB: u64 = 1 << 20;

const fn root(addr: u64, levels: u64) -> Root {
    Root { addr, levels: levels as u8 }
}

/// Every architecture that QEMU emulates for us: those of an architecture that images do not tell apart from others with pages of
/// another size come first.
pub const GUESTS: [Guest; 9] = [
    ARM64,
    Guest {
        port: "arm64-16k",
        wide: Some(("lpa2", 4)),
        memory: 2048 * MIB,
        shifts: [14, 25],
        read_root: |ttbr| root(ttbr & 0xffff_ffff_ffc0, 3),
        ..ARM64
    },
    Guest {
        port: "arm64-64k",
        wide: Some(("lpa2", 3)),
        memory: 8192 * MIB,
        shifts: [16, 29],
        read_root: |ttbr| root(ttbr & 0xffff_ffff_ffc0, 3),
        ..ARM64
    },
    Guest {
        port: "x86_64",
        host: "x86_64",
        qemu: "qemu-system-x86_64",
        qemu_package: "qemu-system-x86",
        qemu_release: "7.2",
        compiler: "x86_64-linux-gnu-gcc",
        compiler_packages: "gcc-x86-64-linux-gnu libc6-dev-amd64-cross",
        compiler_options: &[],
        machine: ["q35", "max,la57=off"],
        console: "ttyS0",
        // A busy host delays the timer, which the kernel would take for broken.
        append: "nopti no_timer_check",
        memory: 1024 * MIB,
        shifts: [12, 21],
        root: Place::Register("cr3"),
        read_root: |cr3| root(cr3 & 0x000f_ffff_ffff_f000, 4),
        mode: (Place::Register("cs"), 3, 3),
        ram: &[(0, ALL)],
        orders: LITTLE,
        wide: Some(("la57", 5)),
        nodes: true,
        lacks: &[],
    },
    Guest {
        port: "riscv64",
        host: "riscv64",
        qemu: "qemu-system-riscv64",
        qemu_package: "qemu-system-riscv",
        qemu_release: "10.0",
        compiler: "riscv64-linux-gnu-gcc",
        compiler_packages: "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross",
        compiler_options: &[],
        machine: ["virt", "max,svnapot=on,svade=off,svadu=on"],
        console: "ttyS0",
        append: "",
        memory: 1024 * MIB,
        shifts: [12, 21],
        root: Place::Register("satp"),
        // Mode 8 is Sv39, with three levels.
        read_root: |satp| root((satp & ((1 << 44) - 1)) << 12, (satp >> 60) - 5),
        mode: (Place::Register("priv"), 3, 0),
        ram: &[(2 << 30, ALL)],
        orders: LITTLE,
        wide: None,
        nodes: true,
        lacks: &[],
    },
    Guest {
        port: "s390x",
        host: "s390x",
        qemu: "qemu-system-s390x",
        qemu_package: "qemu-system-s390x",
        qemu_release: "10.0",
        compiler: "s390x-linux-gnu-gcc",
        compiler_packages: "gcc-s390x-linux-gnu libc6-dev-s390x-cross",
        compiler_options: &[],
        machine: ["s390-ccw-virtio", "max"],
        console: "ttysclp0",
        append: "",
        memory: 1024 * MIB,
        shifts: [12, 20],
        root: Place::Register("cr1"),
        // A designation of 0 is of a segment table, above which there is none.
        read_root: |asce| root(asce & !0xfff, (asce >> 2 & 3) + 2),
        mode: (Place::Register("pswm"), 1 << 48, 1 << 48),
        ram: &[(0, ALL)],
        orders: [Order::Big; 2],
        wide: None,
        nodes: false,
        lacks: &[(
            "huge_leaves",
            "QEMU's CPUs have no EDAT-1 (segments of 1M), without which Linux has no huge pages",
        )],
    },
    PPC64,
    Guest { port: "ppc64-64k", shifts: [16, 21], ..PPC64 },
    Guest {
        port: "loong64",
        host: "loongarch64",
        qemu: "qemu-system-loongarch64",
        qemu_package: "qemu-system-misc",
        qemu_release: "10.0",
        compiler: "loongarch64-linux-gnu-gcc",
        compiler_packages: "gcc-loongarch64-linux-gnu libc6-dev-loong64-cross, from release 13 on",
        compiler_options: &[],
        machine: ["virt", "la464"],
        console: "ttyS0",
        // It waits long for a keyboard that there is not.
        append: "initcall_blacklist=i8042_init",
        memory: 2048 * MIB,
        shifts: [14, 25],
        root: Place::Monitor("PGDL"),
        read_root: |pgdl| root(pgdl & ((1 << 48) - 1), 3),
        mode: (Place::Monitor("CRMD"), 3, 3),
        ram: &[(0, 256 * MIB), (2 << 30, ALL)],
        orders: LITTLE,
        wide: None,
        nodes: true,
        lacks: &[],
    },
];

const ARM64: Guest = Guest {
    port: "arm64",
    host: "aarch64",
    qemu: "qemu-system-aarch64",
    qemu_package: "qemu-system-arm",
    qemu_release: "7.2",
    compiler: "aarch64-linux-gnu-gcc",
    compiler_packages: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    compiler_options: &[],
    machine: ["virt,gic-version=3", "max,pauth=off,sve=off,sme=off,lpa2=off"],
    console: "ttyAMA0",
    append: "",
    memory: 1024 * MIB,
    shifts: [12, 21],
    root: Place::Register("TTBR0_EL1"),
    read_root: |ttbr| root(ttbr & 0xffff_ffff_ffc0, 4),
    mode: (Place::Register("cpsr"), 0xf, 0),
    ram: &[(1 << 30, ALL)],
    orders: LITTLE,
    wide: Some(("lpa2", 5)),
    nodes: true,
    lacks: &[],
};

const PPC64: Guest = Guest {
    port: "ppc64",
    host: "powerpc64",
    qemu: "qemu-system-ppc64",
    qemu_package: "qemu-system-ppc",
    qemu_release: "10.0",
    compiler: "powerpc64le-linux-gnu-gcc",
    compiler_packages: "gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross",
    // By default programs stand where scenarios work.
    compiler_options: &["-Wl,-Ttext-segment=0x1000000"],
    machine: ["pseries", "power10"],
    console: "hvc0",
    append: "",
    memory: 1024 * MIB,
    shifts: [12, 21],
    root: Place::ProcessTable,
    read_root: |entry| root(entry & 0x0fff_ffff_ffff_ff00, 4),
    mode: (Place::Register("msr"), 1 << 14, 1 << 14),
    ram: &[(0, ALL)],
    orders: [Order::Little, Order::Big],
    wide: None,
    nodes: true,
    lacks: &[],
};

impl Guest {
    /// The guest of a port.
    pub fn of(port: &str) -> Option<&'static Self> {
        GUESTS.iter().find(|guest| guest.port == port)
    }

    /// That of the same architecture with pages of another size, in bytes.
    pub(super) fn with_pages(&self, page: u64) -> Option<&'static Self> {
        GUESTS.iter().find(|guest| guest.host == self.host && guest.page() == page)
    }

    /// Bytes in a page.
    pub const fn page(&self) -> u64 {
        1 << self.shifts[0]
    }

    /// Bytes in a huge page.
    pub const fn huge(&self) -> u64 {
        1 << self.shifts[1]
    }

    /// The name of the file that holds the guest program, packed for the kernel.
    pub fn initramfs(&self) -> String {
        format!("guest-{}.cpio", self.port)
    }
}
