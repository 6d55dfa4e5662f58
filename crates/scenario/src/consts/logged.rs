//! Names that logs of real programs print and scenarios do not use.
//!
//! The numbers are those of the Linux UAPI headers (`include/uapi/linux/sched.h`, `prctl.h`, `ipc.h`, `shm.h`,
//! `include/uapi/asm-generic/mman.h` and `signal.h`), the same on arm64 and x86-64.

use super::{Named, Style, Table};

/// Flags of `clone` and `clone3`; the lowest byte of `clone`'s is a [`SIGNAL`].
pub const CLONE: Table = Table {
    what: "a clone flag",
    prefix: "CLONE_",
    zero: None,
    style: Style::Flags,
    entries: &[
        Named::flag("CLONE_NEWTIME", 0x80),
        Named::flag("CLONE_VM", 0x100),
        Named::flag("CLONE_FS", 0x200),
        Named::flag("CLONE_FILES", 0x400),
        Named::flag("CLONE_SIGHAND", 0x800),
        Named::flag("CLONE_PIDFD", 0x1000),
        Named::flag("CLONE_PTRACE", 0x2000),
        Named::flag("CLONE_VFORK", 0x4000),
        Named::flag("CLONE_PARENT", 0x8000),
        Named::flag("CLONE_THREAD", 0x0001_0000),
        Named::flag("CLONE_NEWNS", 0x0002_0000),
        Named::flag("CLONE_SYSVSEM", 0x0004_0000),
        Named::flag("CLONE_SETTLS", 0x0008_0000),
        Named::flag("CLONE_PARENT_SETTID", 0x0010_0000),
        Named::flag("CLONE_CHILD_CLEARTID", 0x0020_0000),
        Named::flag("CLONE_DETACHED", 0x0040_0000),
        Named::flag("CLONE_UNTRACED", 0x0080_0000),
        Named::flag("CLONE_CHILD_SETTID", 0x0100_0000),
        Named::flag("CLONE_NEWCGROUP", 0x0200_0000),
        Named::flag("CLONE_NEWUTS", 0x0400_0000),
        Named::flag("CLONE_NEWIPC", 0x0800_0000),
        Named::flag("CLONE_NEWUSER", 0x1000_0000),
        Named::flag("CLONE_NEWPID", 0x2000_0000),
        Named::flag("CLONE_NEWNET", 0x4000_0000),
        Named::flag("CLONE_IO", 0x8000_0000),
        Named::flag("CLONE_CLEAR_SIGHAND", 0x0001_0000_0000),
        Named::flag("CLONE_INTO_CGROUP", 0x0002_0000_0000),
    ],
};

/// Signals.
pub const SIGNAL: Table = Table {
    what: "a signal",
    prefix: "SIG",
    zero: None,
    style: Style::Single,
    entries: &[
        Named::flag("SIGHUP", 1),
        Named::flag("SIGINT", 2),
        Named::flag("SIGQUIT", 3),
        Named::flag("SIGILL", 4),
        Named::flag("SIGTRAP", 5),
        Named::flag("SIGABRT", 6),
        Named::flag("SIGBUS", 7),
        Named::flag("SIGFPE", 8),
        Named::flag("SIGKILL", 9),
        Named::flag("SIGUSR1", 10),
        Named::flag("SIGSEGV", 11),
        Named::flag("SIGUSR2", 12),
        Named::flag("SIGPIPE", 13),
        Named::flag("SIGALRM", 14),
        Named::flag("SIGTERM", 15),
        Named::flag("SIGSTKFLT", 16),
        Named::flag("SIGCHLD", 17),
        Named::flag("SIGCONT", 18),
        Named::flag("SIGSTOP", 19),
        Named::flag("SIGTSTP", 20),
        Named::flag("SIGTTIN", 21),
        Named::flag("SIGTTOU", 22),
        Named::flag("SIGURG", 23),
        Named::flag("SIGXCPU", 24),
        Named::flag("SIGXFSZ", 25),
        Named::flag("SIGVTALRM", 26),
        Named::flag("SIGPROF", 27),
        Named::flag("SIGWINCH", 28),
        Named::flag("SIGIO", 29),
        Named::flag("SIGPWR", 30),
        Named::flag("SIGSYS", 31),
        Named::alias("SIGIOT", 6),
        Named::alias("SIGPOLL", 29),
    ],
};

/// Flags of `mlockall`.
pub const MCL: Table = Table {
    what: "an mlockall flag",
    prefix: "MCL_",
    zero: None,
    style: Style::Flags,
    entries: &[Named::flag("MCL_CURRENT", 1), Named::flag("MCL_FUTURE", 2), Named::flag("MCL_ONFAULT", 4)],
};

/// Flags of `mlock2`.
pub const MLOCK: Table = Table {
    what: "an mlock2 flag",
    prefix: "MLOCK_",
    zero: None,
    style: Style::Flags,
    entries: &[Named::flag("MLOCK_ONFAULT", 1)],
};

/// Flags of `msync`.
pub const MS: Table = Table {
    what: "an msync flag",
    prefix: "MS_",
    zero: None,
    style: Style::Flags,
    entries: &[Named::flag("MS_ASYNC", 1), Named::flag("MS_INVALIDATE", 2), Named::flag("MS_SYNC", 4)],
};

/// Flags of `shmget` above the nine mode bits, and the key that is always new.
pub const SHMGET: Table = Table {
    what: "a shmget flag",
    prefix: "",
    zero: None,
    style: Style::Flags,
    entries: &[
        Named::flag("IPC_CREAT", 0o1000),
        Named::flag("IPC_EXCL", 0o2000),
        Named::flag("SHM_HUGETLB", 0o4000),
        Named::flag("SHM_NORESERVE", 0o1_0000),
        Named::alias("IPC_PRIVATE", 0),
    ],
};

/// Flags of `shmat`.
pub const SHMAT: Table = Table {
    what: "a shmat flag",
    prefix: "SHM_",
    zero: None,
    style: Style::Flags,
    entries: &[
        Named::flag("SHM_RDONLY", 0o1_0000),
        Named::flag("SHM_RND", 0o2_0000),
        Named::flag("SHM_REMAP", 0o4_0000),
        Named::flag("SHM_EXEC", 0o10_0000),
    ],
};

/// The options of `prctl` that concern memory, and what their arguments are called.
pub const PR: Table = Table {
    what: "a prctl option",
    prefix: "PR_",
    zero: None,
    style: Style::Single,
    entries: &[
        Named::flag("PR_SET_THP_DISABLE", 41),
        Named::flag("PR_GET_THP_DISABLE", 42),
        Named::flag("PR_SET_VMA", 0x5356_4d41),
        Named::alias("PR_SET_VMA_ANON_NAME", 0),
        Named::alias("PR_THP_DISABLE_EXCEPT_ADVISED", 2),
    ],
};

/// All tables of this kind.
pub const LOGGED: [&Table; 8] = [&CLONE, &SIGNAL, &MCL, &MLOCK, &MS, &SHMGET, &SHMAT, &PR];

#[cfg(test)]
mod tests {
    use super::{CLONE, LOGGED, SIGNAL};

    #[test]
    fn every_name_is_found_whole_and_without_its_prefix() {
        for table in LOGGED {
            for entry in table.entries {
                let short = entry.name.strip_prefix(table.prefix).expect("begins with its table's prefix");
                assert_eq!(table.value(entry.name), Some(entry.value));
                assert_eq!(table.short_value(short), Some(entry.value));
            }
        }
    }

    #[test]
    fn known_numbers() {
        assert_eq!(CLONE.value("CLONE_THREAD"), Some(0x1_0000));
        assert_eq!(SIGNAL.value("SIGSEGV"), Some(11));
        assert_eq!(SIGNAL.text(17).to_string(), "SIGCHLD");
        assert_eq!(CLONE.short_value("CLONE_VM"), None);
    }
}
