//! Which calls are decoded, and those of them that concern memory.

use crate::strace::args::{Args, NAMED, Place};
use crate::strace::argument::LoggedRange;
use crate::strace::process;
use crate::strace::scan::Items;
use crate::strace::syscall::{Decoded, Syscall};
use ptelab_uapi::{Advice, MapFlags, MclFlags, MlockFlags, MremapFlags, MsFlags, PkeyRights, Prot};

/// A call that is decoded.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) decode: fn(&Args<'_>) -> Decoded,
}

impl Spec {
    /// Whether it is of interest only where its descriptor is.
    pub(super) fn of_descriptor(&self) -> bool {
        ["read", "pread64", "close"].contains(&self.name)
    }
}

const SPECS: &[Spec] = &[
    Spec { name: "mmap", decode: mmap },
    Spec { name: "munmap", decode: |args| range(args, |addr, len| Syscall::Munmap { addr, len }) },
    Spec { name: "mprotect", decode: mprotect },
    Spec { name: "madvise", decode: madvise },
    Spec { name: "brk", decode: |args| Ok(Some(Syscall::Brk { addr: args.number((0, "brk"))? })) },
    Spec { name: "mremap", decode: mremap },
    Spec { name: "openat", decode: process::openat },
    Spec { name: "clone", decode: process::clone },
    Spec { name: "clone3", decode: process::clone3 },
    Spec { name: "fork", decode: |_| Ok(Some(Syscall::Fork)) },
    Spec { name: "vfork", decode: |_| Ok(Some(Syscall::Vfork)) },
    Spec { name: "execve", decode: process::execve },
    Spec { name: "execveat", decode: process::execveat },
    Spec { name: "exit", decode: |args| Ok(Some(Syscall::Exit { status: args.int((0, "error_code"))? })) },
    Spec {
        name: "exit_group",
        decode: |args| Ok(Some(Syscall::ExitGroup { status: args.int((0, "error_code"))? })),
    },
    Spec { name: "mmap2", decode: mmap },
    Spec { name: "pkey_mprotect", decode: mprotect },
    Spec { name: "process_madvise", decode: process_madvise },
    Spec { name: "mlock", decode: mlock },
    Spec { name: "mlock2", decode: mlock },
    Spec { name: "munlock", decode: |args| range(args, |addr, len| Syscall::Munlock { addr, len }) },
    Spec {
        name: "mlockall",
        decode: |args| Ok(Some(Syscall::Mlockall { flags: args.named::<MclFlags>((0, "flags"))? })),
    },
    Spec { name: "munlockall", decode: |_| Ok(Some(Syscall::Munlockall)) },
    Spec { name: "msync", decode: msync },
    Spec { name: "mincore", decode: |args| range(args, |addr, len| Syscall::Mincore { addr, len }) },
    Spec { name: "mseal", decode: mseal },
    Spec { name: "pkey_alloc", decode: pkey_alloc },
    Spec { name: "pkey_free", decode: |args| Ok(Some(Syscall::PkeyFree { pkey: args.int((0, "pkey"))? })) },
    Spec { name: "prctl", decode: process::prctl },
    Spec { name: "shmget", decode: process::shmget },
    Spec { name: "shmat", decode: process::shmat },
    Spec { name: "shmdt", decode: |args| Ok(Some(Syscall::Shmdt { addr: args.number((0, "shmaddr"))? })) },
    Spec { name: "shmctl", decode: process::shmctl },
    Spec { name: "open", decode: process::open },
    Spec { name: "openat2", decode: process::openat },
    Spec { name: "read", decode: process::read },
    Spec { name: "pread64", decode: process::read },
    Spec { name: "close", decode: process::close },
];

/// What strace calls `mseal` where it is older than that: by its number, which is the same on every architecture.
const MSEAL: [&[u8]; 2] = [b"syscall_0x1ce", b"syscall_462"];

/// The call of this name, if it is decoded.
pub(super) fn spec(name: &[u8]) -> Option<&'static Spec> {
    let name = if MSEAL.contains(&name) { b"mseal" } else { name };
    SPECS.iter().find(|spec| spec.name.as_bytes() == name)
}

/// Whether the calls of a name are decoded; those of others are counted.
pub fn is_decoded(name: &str) -> bool {
    spec(name.as_bytes()).is_some()
}

const LEN: Place = (1, "len");

/// The address, which the kernel calls `addr` in some calls and `start` in others.
fn addr(args: &Args<'_>) -> Result<u64, String> {
    let name = if args.text((NAMED, "start")).is_some() { "start" } else { "addr" };
    args.number((0, name))
}

fn range(args: &Args<'_>, make: fn(u64, u64) -> Syscall) -> Decoded {
    Ok(Some(make(addr(args)?, args.number(LEN)?)))
}

fn mmap(args: &Args<'_>) -> Decoded {
    let call = Syscall::Mmap {
        addr: addr(args)?,
        len: args.number(LEN)?,
        prot: args.named::<Prot>((2, "prot"))?,
        flags: args.named::<MapFlags>((3, "flags"))?,
        fd: args.fd((4, "fd"))?,
        offset: args.number((5, "off"))?,
    };
    Ok(Some(call))
}

fn mprotect(args: &Args<'_>) -> Decoded {
    let prot = args.named::<Prot>((2, "prot"))?;
    let key: Place = (3, "pkey");
    let pkey = if args.text(key).is_some() { Some(args.int(key)?) } else { None };
    Ok(Some(Syscall::Mprotect { addr: addr(args)?, len: args.number(LEN)?, prot, pkey }))
}

fn madvise(args: &Args<'_>) -> Decoded {
    let len = args.number((1, "len_in"))?;
    Ok(Some(Syscall::Madvise { addr: addr(args)?, len, advice: args.named::<Advice>((2, "behavior"))? }))
}

fn process_madvise(args: &Args<'_>) -> Decoded {
    let call = Syscall::ProcessMadvise {
        pidfd: args.fd((0, "pidfd"))?,
        ranges: args.text((1, "vec")).map_or(Ok(None), ranges)?,
        count: args.number((2, "vlen"))?,
        advice: args.named::<Advice>((3, "behavior"))?,
        flags: args.number((4, "flags"))?,
    };
    Ok(Some(call))
}

/// `[{iov_base=0x7f0000000000, iov_len=4096}, ...]`, or the address of such.
fn ranges(text: &[u8]) -> Result<Option<Vec<LoggedRange>>, String> {
    let Some(inner) = text.strip_prefix(b"[") else {
        return Ok(None);
    };
    let mut found = Vec::new();
    for item in Items::new(inner, b']').take_while(|item| item.text != b"...") {
        let fields = item.text.strip_prefix(b"{").and_then(|inner| Args::split(inner, b'}', false));
        let (fields, _) = fields.ok_or("argument 2 (vec): it has an element that is no iovec")?;
        found
            .push(LoggedRange { addr: fields.number((0, "iov_base"))?, len: fields.number((1, "iov_len"))? });
    }
    Ok(Some(found))
}

fn mremap(args: &Args<'_>) -> Decoded {
    let call = Syscall::Mremap {
        old_addr: addr(args)?,
        old_len: args.number((1, "old_len"))?,
        new_len: args.number((2, "new_len"))?,
        flags: args.named::<MremapFlags>((3, "flags"))?,
        new_addr: args.optional((4, "new_addr"), &[])?,
    };
    Ok(Some(call))
}

fn mlock(args: &Args<'_>) -> Decoded {
    let place: Place = (2, "flags");
    let given = args.text(place).is_some();
    let flags = if given { args.named::<MlockFlags>(place)? } else { MlockFlags::empty() };
    Ok(Some(Syscall::Mlock { addr: addr(args)?, len: args.number(LEN)?, flags }))
}

fn msync(args: &Args<'_>) -> Decoded {
    let flags = args.named::<MsFlags>((2, "flags"))?;
    Ok(Some(Syscall::Msync { addr: addr(args)?, len: args.number(LEN)?, flags }))
}

fn mseal(args: &Args<'_>) -> Decoded {
    let (len, flags) = (args.number(LEN)?, args.number((2, "flags"))?);
    Ok(Some(Syscall::Mseal { addr: addr(args)?, len, flags }))
}

fn pkey_alloc(args: &Args<'_>) -> Decoded {
    let rights = args.named::<PkeyRights>((1, "init_val"))?;
    Ok(Some(Syscall::PkeyAlloc { flags: args.number((0, "flags"))?, rights }))
}
