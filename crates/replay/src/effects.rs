//! What memory a call frees, gets and needs, as far as the log says it.

use ptelab_machine::{MapFlags, MremapFlags};
use ptelab_scenario::strace::{LoggedCall, LoggedOutcome, Syscall};

/// First address and length, in bytes.
pub(crate) type Range = (u64, u64);

/// Whether two ranges have memory in common.
pub(crate) fn meet(a: Option<Range>, b: Option<Range>) -> bool {
    let (Some((a, a_len)), Some((b, b_len))) = (a, b) else { return false };
    a < b.saturating_add(b_len) && b < a.saturating_add(a_len)
}

/// What a call that succeeded unmapped: after it, the kernel may give that away.
pub(crate) fn frees(call: &LoggedCall) -> Option<Range> {
    let LoggedOutcome::Value(at) = call.outcome else { return None };
    match call.call {
        Syscall::Munmap { addr, len } => Some((addr, len)),
        Syscall::Shmdt { addr } => Some((addr, 1)),
        Syscall::Mremap { flags, .. } if flags.contains(MremapFlags::DONTUNMAP) => None,
        Syscall::Mremap { old_addr, old_len, .. } if at != old_addr => Some((old_addr, old_len)),
        Syscall::Mremap { old_addr, old_len, new_len, .. } if new_len < old_len => {
            Some((old_addr.saturating_add(new_len), old_len - new_len))
        }
        _ => None,
    }
}

/// What the kernel chose for a call that succeeded: it was free before.
pub(crate) fn gets(call: &LoggedCall) -> Option<Range> {
    let LoggedOutcome::Value(at) = call.outcome else { return None };
    match call.call {
        Syscall::Mmap { len, flags, .. } if !flags.contains(MapFlags::FIXED) => Some((at, len)),
        Syscall::Mremap { old_addr, new_len, flags, .. }
            if at != old_addr && !flags.contains(MremapFlags::FIXED) =>
        {
            Some((at, new_len))
        }
        Syscall::Mremap { old_addr, old_len, new_len, .. } if at == old_addr && new_len > old_len => {
            Some((old_addr.saturating_add(old_len), new_len - old_len))
        }
        Syscall::Shmat { .. } => Some((at, 1)),
        _ => None,
    }
}

/// What is mapped after a call that succeeded, wherever the caller wanted it.
pub(crate) fn makes(call: &LoggedCall) -> Option<Range> {
    let LoggedOutcome::Value(at) = call.outcome else { return None };
    match call.call {
        Syscall::Mmap { len, .. } => Some((at, len)),
        Syscall::Mremap { new_len, .. } => Some((at, new_len)),
        _ => gets(call),
    }
}

/// What a call that succeeded said of memory without using it, as programs do before they use what they got.
pub(crate) fn prepares(call: &LoggedCall) -> Option<Range> {
    match call.call {
        _ if !matches!(call.outcome, LoggedOutcome::Value(_)) => None,
        Syscall::Madvise { addr, len, advice } if advice.sets_flags() => Some((addr, len)),
        Syscall::SetVmaAnonName { addr, len, .. } => Some((addr, len)),
        _ => None,
    }
}

/// What was mapped when a call succeeded.
pub(crate) fn needs(call: &LoggedCall) -> Option<Range> {
    let succeeds = matches!(call.outcome, LoggedOutcome::Value(_));
    named(&call.call).filter(|_| succeeds)
}

/// What a call names that failed as it does where something is not mapped.
pub(crate) fn lacks(call: &LoggedCall) -> Option<Range> {
    let fails =
        matches!(&call.outcome, LoggedOutcome::Failed(errno) if ["ENOMEM", "EFAULT"].contains(&errno.name()));
    named(&call.call).filter(|_| fails)
}

/// Where a call may have changed mappings; nothing where the log does not say it.
pub(crate) fn touched(call: &LoggedCall) -> Option<Vec<Range>> {
    match call.call {
        Syscall::Mmap { .. } => makes(call).map(|range| vec![range]),
        Syscall::Munmap { addr, len } => Some(vec![(addr, len)]),
        Syscall::Mremap { .. } => {
            makes(call).map(|made| named(&call.call).into_iter().chain([made]).collect())
        }
        ref other => named(other).map(|range| vec![range]),
    }
}

/// The range that must be mapped for a call to succeed.
pub(crate) fn named(call: &Syscall) -> Option<Range> {
    match *call {
        Syscall::Mprotect { addr, len, .. }
        | Syscall::Madvise { addr, len, .. }
        | Syscall::Mlock { addr, len, .. }
        | Syscall::Munlock { addr, len }
        | Syscall::Msync { addr, len, .. }
        | Syscall::Mincore { addr, len }
        | Syscall::SetVmaAnonName { addr, len, .. }
        | Syscall::Mremap { old_addr: addr, old_len: len, .. } => Some((addr, len)),
        _ => None,
    }
}
