//! The calls that are decoded.

use crate::strace::argument::{Fd, LoggedRange, LoggedText};
use ptelab_uapi::{Advice, MapFlags, MclFlags, MlockFlags, MremapFlags, MsFlags, PkeyRights, Prot, ShmFlags};

/// A decoded call: addresses, lengths and offsets in bytes, flags as [`ptelab_uapi`] has them.
///
/// `None` is an argument that the log does not have: because it printed only an address of a struct or string, or
/// because `perf trace` leaves it out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named as in the calls' manual pages")]
pub enum Syscall {
    /// `mmap`, and `mmap2`, of which strace prints the offset in bytes too.
    Mmap { addr: u64, len: u64, prot: Prot, flags: MapFlags, fd: Option<Fd>, offset: u64 },
    /// `munmap`
    Munmap { addr: u64, len: u64 },
    /// `mprotect`, and `pkey_mprotect`, which has a key (-1 for none).
    Mprotect { addr: u64, len: u64, prot: Prot, pkey: Option<i32> },
    /// `madvise`
    Madvise { addr: u64, len: u64, advice: Advice },
    /// `process_madvise`: `count` ranges, of which `ranges` are those that the log has.
    ProcessMadvise {
        pidfd: Option<Fd>,
        ranges: Option<Vec<LoggedRange>>,
        count: u64,
        advice: Advice,
        flags: u64,
    },
    /// `mremap`; the new address is there where it was given.
    Mremap { old_addr: u64, old_len: u64, new_len: u64, flags: MremapFlags, new_addr: Option<u64> },
    /// `brk`; 0 asks where it is.
    Brk { addr: u64 },
    /// `mlock`, and `mlock2`, which has flags.
    Mlock { addr: u64, len: u64, flags: MlockFlags },
    /// `munlock`
    Munlock { addr: u64, len: u64 },
    /// `mlockall`
    Mlockall { flags: MclFlags },
    /// `munlockall`
    Munlockall,
    /// `msync`
    Msync { addr: u64, len: u64, flags: MsFlags },
    /// `mincore`
    Mincore { addr: u64, len: u64 },
    /// `mseal`
    Mseal { addr: u64, len: u64, flags: u64 },
    /// `pkey_alloc`
    PkeyAlloc { flags: u64, rights: PkeyRights },
    /// `pkey_free`
    PkeyFree { pkey: i32 },
    /// `fork`
    Fork,
    /// `vfork`
    Vfork,
    /// `clone` and `clone3`. `exit_signal` is 0 for none, and `flags` are without it. A stack is `clone`'s top of it,
    /// or `clone3`'s lowest address with a size.
    Clone { flags: Option<u64>, exit_signal: Option<u64>, stack: Option<u64>, stack_size: Option<u64> },
    /// `execve`, and `execveat`, which has a directory.
    Execve { dir: Option<Fd>, path: Option<LoggedText> },
    /// `exit`: a thread ends.
    Exit { status: i32 },
    /// `exit_group`: a process ends.
    ExitGroup { status: i32 },
    /// `prctl(PR_SET_THP_DISABLE)`
    SetThpDisable { on: u64, flags: u64 },
    /// `prctl(PR_GET_THP_DISABLE)`
    GetThpDisable,
    /// `prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME)`; no name takes the name away.
    SetVmaAnonName { addr: u64, len: u64, name: Option<LoggedText> },
    /// `shmget`; key 0 is `IPC_PRIVATE`, `flags` have the mode in their lowest nine bits.
    Shmget { key: u64, size: u64, flags: ShmFlags },
    /// `shmat`
    Shmat { id: i32, addr: u64, flags: ShmFlags },
    /// `shmdt`
    Shmdt { addr: u64 },
    /// `shmctl(IPC_RMID)`
    ShmRemove { id: i32 },
    /// `open`, `openat` and `openat2`. The outcome is the descriptor, and the result's path the file's.
    Open { dir: Option<Fd>, path: Option<LoggedText> },
    /// `read` and `pread64`, of a process's maps; others are counted.
    Read { fd: i32 },
    /// `close`, the same.
    Close { fd: i32 },
}

/// The call, or nothing if it concerns no memory, or what is wrong with it.
pub(super) type Decoded = Result<Option<Syscall>, String>;
