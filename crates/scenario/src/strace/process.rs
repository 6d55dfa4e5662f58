//! Decoded calls that concern processes, files and System V shared memory.

use crate::strace::args::{Args, NAMED, Place};
use crate::strace::syscall::{Decoded, Syscall};
use ptelab_uapi::param::ShmgetFlags;
use ptelab_uapi::{CLONE, PR, SHMGET, SIGNAL, ShmFlags};

/// The lowest byte of `clone`'s flags is the signal that tells the parent of the child's end.
const EXIT_SIGNAL: u64 = 0xff;

/// `IPC_RMID` in the kernel's headers; glibc or-s `IPC_64` to it on old architectures.
const IPC_RMID: &[&[u8]] = &[b"IPC_RMID", b"IPC_64|IPC_RMID", b"0", b"0x100"];

/// strace names the arguments, since architectures have them in several orders.
pub(super) fn clone(args: &Args<'_>) -> Decoded {
    let by_name =
        |names: &[&'static str]| names.iter().map(|name| (NAMED, *name)).find(|at| args.text(*at).is_some());
    let place = by_name(&["flags", "clone_flags"]).unwrap_or((0, "flags"));
    let flags = args.flags(place, &[&CLONE, &SIGNAL])?;
    let stack = by_name(&["child_stack", "stack", "newsp"]);
    let call = Syscall::Clone {
        flags: Some(flags & !EXIT_SIGNAL),
        exit_signal: Some(flags & EXIT_SIGNAL),
        stack: stack.map(|place| args.number(place)).transpose()?,
        stack_size: None,
    };
    Ok(Some(call))
}

pub(super) fn clone3(args: &Args<'_>) -> Decoded {
    let Some(fields) = args.fields((0, "uargs")) else {
        let call = Syscall::Clone { flags: None, exit_signal: None, stack: None, stack_size: None };
        return Ok(Some(call));
    };
    let call = Syscall::Clone {
        flags: fields.optional((NAMED, "flags"), &[&CLONE])?,
        exit_signal: fields.optional((NAMED, "exit_signal"), &[&SIGNAL])?,
        stack: fields.optional((NAMED, "stack"), &[])?,
        stack_size: fields.optional((NAMED, "stack_size"), &[])?,
    };
    Ok(Some(call))
}

#[expect(clippy::unnecessary_wraps, reason = "a row of the table of calls")]
pub(super) fn execve(args: &Args<'_>) -> Decoded {
    Ok(Some(Syscall::Execve { dir: None, path: args.string((0, "filename")) }))
}

pub(super) fn execveat(args: &Args<'_>) -> Decoded {
    Ok(Some(Syscall::Execve { dir: args.fd((0, "fd"))?, path: args.string((1, "filename")) }))
}

#[expect(clippy::unnecessary_wraps, reason = "a row of the table of calls")]
pub(super) fn open(args: &Args<'_>) -> Decoded {
    Ok(Some(Syscall::Open { dir: None, path: args.string((0, "filename")) }))
}

pub(super) fn openat(args: &Args<'_>) -> Decoded {
    Ok(Some(Syscall::Open { dir: args.fd((0, "dfd"))?, path: args.string((1, "filename")) }))
}

pub(super) fn read(args: &Args<'_>) -> Decoded {
    Ok(args.fd((0, "fd"))?.map(|fd| Syscall::Read { fd: fd.number }))
}

pub(super) fn close(args: &Args<'_>) -> Decoded {
    Ok(args.fd((0, "fd"))?.map(|fd| Syscall::Close { fd: fd.number }))
}

pub(super) fn prctl(args: &Args<'_>) -> Decoded {
    let tables = [&PR];
    // The options that are not in the table have arguments of all kinds.
    let Ok(option) = args.flags((0, "option"), &tables) else {
        return Ok(None);
    };
    let is = |name: &str| PR.value(name) == Some(option);
    if is("PR_SET_THP_DISABLE") {
        let on = args.number((1, "arg2"))?;
        let flags = args.optional((2, "arg3"), &tables)?.unwrap_or(0);
        return Ok(Some(Syscall::SetThpDisable { on, flags }));
    }
    if is("PR_GET_THP_DISABLE") {
        return Ok(Some(Syscall::GetThpDisable));
    }
    if is("PR_SET_VMA") && args.flags((1, "arg2"), &tables).is_ok_and(|attribute| attribute == 0) {
        let (addr, len) = (args.number((2, "arg3"))?, args.number((3, "arg4"))?);
        return Ok(Some(Syscall::SetVmaAnonName { addr, len, name: args.string((4, "arg5")) }));
    }
    Ok(None)
}

pub(super) fn shmget(args: &Args<'_>) -> Decoded {
    let call = Syscall::Shmget {
        key: args.flags((0, "key"), &[&SHMGET])?,
        size: args.number((1, "size"))?,
        flags: args.named::<ShmgetFlags>((2, "shmflg"))?,
    };
    Ok(Some(call))
}

pub(super) fn shmat(args: &Args<'_>) -> Decoded {
    let addr = args.number((1, "shmaddr"))?;
    let flags = args.named::<ShmFlags>((2, "shmflg"))?;
    Ok(Some(Syscall::Shmat { id: args.int((0, "shmid"))?, addr, flags }))
}

pub(super) fn shmctl(args: &Args<'_>) -> Decoded {
    const COMMAND: Place = (1, "cmd");
    let command = args.text(COMMAND).unwrap_or(b"0");
    let word = command.split(|byte| *byte == b' ').next().unwrap_or(command);
    if !IPC_RMID.contains(&word) {
        return Ok(None);
    }
    Ok(Some(Syscall::ShmRemove { id: args.int((0, "shmid"))? }))
}
