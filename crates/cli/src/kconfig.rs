//! `ptelab kconfig`

use crate::exit::FINE;
use crate::output::{Failed, Out};

/// Options that a kernel needs to be asked, and those of what is to be seen there. Those that an architecture does not have are left
/// out by `make olddefconfig`.
const OPTIONS: &[(&str, &[&str])] = &[
    (
        "to boot, and to have a console",
        &[
            "64BIT",
            "MMU",
            "SMP",
            "PRINTK",
            "BUG",
            "TTY",
            "OF",
            "PCI",
            "ACPI",
            "BLK_DEV_INITRD",
            "RD_GZIP",
            "BINFMT_ELF",
            "SERIAL_AMBA_PL011",
            "SERIAL_AMBA_PL011_CONSOLE",
            "SERIAL_8250",
            "SERIAL_8250_CONSOLE",
        ],
    ),
    (
        "for the guest program",
        &[
            "PROC_FS",
            "SYSFS",
            "PROC_PAGE_MONITOR",
            "DEBUG_FS",
            "MULTIUSER",
            "POSIX_TIMERS",
            "FUTEX",
            "ADVISE_SYSCALLS",
            "SHMEM",
            "TMPFS",
            "COMPACTION",
        ],
    ),
    (
        "what is to be seen",
        &[
            "TRANSPARENT_HUGEPAGE",
            "TRANSPARENT_HUGEPAGE_MADVISE",
            "ARM64_CONTPTE",
            "ARM64_HW_AFDBM",
            "ARM64_EPAN",
            "USERFAULTFD",
            "CHECKPOINT_RESTORE",
            "MEM_SOFT_DIRTY",
            "BLOCK",
            "SWAP",
            "BLK_DEV_RAM",
            "MIGRATION",
            "NUMA",
            "NUMA_BALANCING",
            "X86_MCE",
            "MEMORY_FAILURE",
            "SYSVIPC",
        ],
    ),
    (
        "so that the kernel finds its own mistakes",
        &["DEBUG_VM", "PAGE_TABLE_CHECK", "PAGE_TABLE_CHECK_ENFORCED", "KALLSYMS"],
    ),
];

pub(crate) fn kconfig(out: &mut Out) -> Result<u8, Failed> {
    for (why, names) in OPTIONS {
        out.line(format!("# {why}"))?;
        for name in *names {
            out.line(format!("CONFIG_{name}=y"))?;
        }
    }
    Ok(FINE)
}
