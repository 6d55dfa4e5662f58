//! Calls that the log's kernel refused for what a log does not show: how it was built, its age, its limits, its filters.
//!
//! Such a call did nothing there, and does nothing here.

use ptelab_machine::{Advice, MapFlags, Prot};
use ptelab_scenario::strace::Syscall;

const NO_SUCH_CALL: &str = "a kernel without that call, or a filter of calls";
const NOT_PERMITTED: &str = "a filter of calls, or a capability that the program lacks";
pub(crate) const MEMORY: &str = "a limit on memory (overcommit, RLIMIT_AS, RLIMIT_DATA, 32-bit addresses), or memory in the way that the log does not show";
const MEMLOCK: &str = "RLIMIT_MEMLOCK";
const FILE: &str = "a file that was sealed or not opened for it, or a security module";
const DEVICE: &str =
    "a mapping of a device or of a special file (VM_IO, VM_PFNMAP, VM_DONTEXPAND, VM_LOCKED)";
const ANON_VMA_NAME: &str = "a kernel without CONFIG_ANON_VMA_NAME";
const ADVICE: &str = "a kernel without that advice: by its age, or built without huge pages or KSM";
const SEALED: &str = "mseal, which the log does not show";
const POINTER: &str = "a pointer into memory that cannot be written";
const CONTENTS: &str = "what was in the pages, which the log does not show";
pub(crate) const SHM: &str = "a limit on System V segments, or one that was there before";

/// What refused a call with this error, where the machine has nothing against it; nothing where the log shows all that
/// decides. A file decides itself what can be done to mappings `of_file`.
pub(crate) fn by(call: &Syscall, errno: &str, of_file: bool) -> Option<&'static str> {
    let reason = match (call, errno) {
        (_, "ENOSYS") => NO_SUCH_CALL,
        (Syscall::Mlock { .. } | Syscall::Mlockall { .. }, "ENOMEM" | "EAGAIN" | "EPERM")
        | (Syscall::Mremap { .. }, "EAGAIN") => MEMLOCK,
        (Syscall::Mmap { flags, .. }, "EAGAIN") if flags.contains(MapFlags::LOCKED) => MEMLOCK,
        (Syscall::Mmap { .. } | Syscall::Mremap { .. } | Syscall::Shmat { .. }, "ENOMEM")
        | (Syscall::Mmap { .. }, "EEXIST") => MEMORY,
        (Syscall::Mprotect { prot, .. }, "ENOMEM") if prot.contains(Prot::WRITE) => MEMORY,
        (Syscall::Mmap { .. } | Syscall::Mprotect { .. }, "EACCES") => FILE,
        (Syscall::SetVmaAnonName { .. }, "EINVAL") => ANON_VMA_NAME,
        (Syscall::Mincore { .. }, "EFAULT") => POINTER,
        (
            Syscall::Munmap { .. }
            | Syscall::Mprotect { .. }
            | Syscall::Mremap { .. }
            | Syscall::Madvise { advice: Advice::DONTNEED, .. },
            "EPERM",
        ) => SEALED,
        (Syscall::Madvise { advice, .. } | Syscall::ProcessMadvise { advice, .. }, errno)
            if by_advice(*advice, errno).is_some() =>
        {
            return by_advice(*advice, errno);
        }
        (
            Syscall::Madvise { .. } | Syscall::Mremap { .. } | Syscall::Mprotect { .. },
            "EINVAL" | "EFAULT",
        ) if of_file => DEVICE,
        (Syscall::Mmap { .. } | Syscall::SetThpDisable { .. }, "EPERM") => NOT_PERMITTED,
        _ => return None,
    };
    Some(reason)
}

fn by_advice(advice: Advice, errno: &str) -> Option<&'static str> {
    /// What every kernel has.
    const OF_OLD: [Advice; 8] = [
        Advice::NORMAL,
        Advice::RANDOM,
        Advice::SEQUENTIAL,
        Advice::WILLNEED,
        Advice::DONTNEED,
        Advice::REMOVE,
        Advice::DONTFORK,
        Advice::DOFORK,
    ];
    match errno {
        "EINVAL" if !OF_OLD.contains(&advice) => Some(ADVICE),
        "EPERM" if !OF_OLD.contains(&advice) => Some(NOT_PERMITTED),
        "EAGAIN" | "EBUSY" | "EIO" | "ENOMEM" if advice == Advice::COLLAPSE => Some(CONTENTS),
        "EBADF" | "EIO" => Some(FILE),
        "EPERM" if advice == Advice::REMOVE => Some(FILE),
        _ => None,
    }
}
