//! The process that plays a scenario: a program of its own, so that little else is in its address space, with one thread.
//!
//! It takes calls from a socket, which is its standard input. A fork comes with the socket of the child.

use crate::command::{self, failed};
use crate::linux::last_errno;
use crate::shape::PAGE;
use ptelab_uapi::{Access, Advice, Call, CallError, Outcome, SigCode, SigInfo, Signal as SigNumber};
use rustix::fd::OwnedFd;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};
use rustix::process::Signal;
use rustix::stdio::{dup2_stdin, stdin};
use std::ffi::{c_int, c_long, c_void};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// Bytes that a message has at most.
pub(super) const MAX_MESSAGE: usize = 256;
/// Bytes of the stack on which accesses are made.
const STACK: usize = 64 << 10;

/// Plays until the socket closes, then ends the process.
///
/// # Errors
/// Where the socket is none, or the process cannot be set up.
pub fn play() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    stay_on_one_cpu()?;
    // Where memory runs out, this is the process that may go. Where that cannot be said, it need not.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    catch_faults()?;
    let mut stack = vec![0_u128; STACK / 16];
    while let Some((line, socket)) = receive()? {
        let Some(call) = command::call(&line) else {
            return Err(io::Error::other(format!("no call: {line}")));
        };
        let reply = match (&call, socket) {
            (Call::Fork {}, Some(socket)) => fork(&socket)?,
            (Call::Fork {}, None) => return Err(io::Error::other("fork without a socket")),
            (Call::ExitGroup { .. }, _) => end(),
            (
                Call::Memset { .. } | Call::ExplicitBzero { .. } | Call::Touch { .. } | Call::Check { .. },
                _,
            ) => access(call, &mut stack)?,
            (call, _) => system_call(call),
        };
        rustix::net::send(stdin(), command::reply_line(reply).as_bytes(), SendFlags::NOSIGNAL)?;
    }
    end()
}

/// Pages that were just used wait in lists of the CPU that used them, and whether a copy-on-write page is reused depends on it.
fn stay_on_one_cpu() -> rustix::io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(rustix::thread::sched_getcpu());
    rustix::thread::sched_setaffinity(None, &set)
}

/// The next message, and the socket that came with it; nothing where nobody sends any more.
fn receive() -> rustix::io::Result<Option<(String, Option<OwnedFd>)>> {
    let mut bytes = [0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let slices = &mut [IoSliceMut::new(&mut bytes)];
    let got = rustix::net::recvmsg(stdin(), slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let sockets = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    let socket = sockets.last();
    Ok((got.bytes > 0).then(|| (String::from_utf8_lossy(&bytes[..got.bytes]).into_owned(), socket)))
}

/// Ends the process, and runs nothing more.
fn end() -> ! {
    // SAFETY: it does not return, and nothing that is left undone is seen by anybody.
    unsafe { libc::_exit(0) }
}

/// The parent's reply is the child's process id; the child greets with its own, on its own socket.
fn fork(socket: &OwnedFd) -> io::Result<Outcome> {
    // SAFETY: the process has one thread, so its child may do all that it may itself.
    match unsafe { libc::fork() } {
        0 => {
            dup2_stdin(socket)?;
            Ok(Outcome::Value(std::process::id().into()))
        }
        child if child > 0 => Ok(Outcome::Value(child as u64)),
        _ => Ok(failed(last_errno())),
    }
}

/// `MPOL_BIND`
const MPOL_BIND: u64 = 2;

/// The numbers of system calls, by the calls' names.
const NUMBERS: &[(&str, c_long)] = &[
    ("mmap", libc::SYS_mmap),
    ("munmap", libc::SYS_munmap),
    ("mprotect", libc::SYS_mprotect),
    ("madvise", libc::SYS_madvise),
    ("mremap", libc::SYS_mremap),
    ("mlock", libc::SYS_mlock),
    ("mlock2", libc::SYS_mlock2),
    ("munlock", libc::SYS_munlock),
    ("mlockall", libc::SYS_mlockall),
    ("munlockall", libc::SYS_munlockall),
    ("msync", libc::SYS_msync),
    ("pkey_alloc", libc::SYS_pkey_alloc),
    ("pkey_free", libc::SYS_pkey_free),
    ("pkey_mprotect", libc::SYS_pkey_mprotect),
    ("mseal", libc::SYS_mseal),
];

fn system_call(call: &Call) -> Outcome {
    match *call {
        Call::Reclaim { addr, len } => raw(libc::SYS_madvise, [addr, len, Advice::PAGEOUT.raw(), 0, 0, 0]),
        Call::NumaAlloc { node: 64.. } => raw(libc::SYS_set_mempolicy, [0; 6]),
        Call::NumaAlloc { node } => {
            let nodes = 1_u64 << node;
            raw(libc::SYS_set_mempolicy, [MPOL_BIND, ptr::from_ref(&nodes) as u64, 64, 0, 0, 0])
        }
        ref call => match NUMBERS.iter().find(|(name, _)| *name == call.name()) {
            Some((_, number)) => raw(*number, command::numbers(call)),
            // Others are made elsewhere, or asked of images only.
            None => failed(libc::ENOSYS),
        },
    }
}

/// A system call with arguments as they are, wrong ones too: the result is what the scenario asks for.
fn raw(number: c_long, [a, b, c, d, e, f]: [u64; 6]) -> Outcome {
    // SAFETY: a scenario names memory that nothing of this program lies in: who starts it has looked at the program's maps
    // before, and the kernel places new mappings where nothing is. A scenario that is not heeded costs this process only.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 { failed(last_errno()) } else { Outcome::Value(result as u64) }
}

/// What the access under way came to.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);
static ADDR: AtomicU64 = AtomicU64::new(0);
static BYTE: AtomicU64 = AtomicU64::new(0);

/// Makes an access in a thread of control that shares this address space and may end by a signal: its handler notes the signal
/// and ends it. So nothing has to jump out of a handler.
fn access(mut call: Call, stack: &mut [u128]) -> io::Result<Outcome> {
    SIGNAL.store(0, Ordering::Relaxed);
    let top = stack.as_mut_ptr_range().end.cast::<c_void>();
    let argument = ptr::from_mut(&mut call).cast::<c_void>();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK;
    // SAFETY: the stack and the call outlive the child, as this process waits for its end; the stack is used by nobody
    // else and large enough for a function that calls none.
    let child = unsafe { libc::clone(make_access, top, flags, argument) };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it writes nothing, as no status is asked for.
    if unsafe { libc::waitpid(child, ptr::null_mut(), libc::__WALL) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let read = if let Call::Check { .. } = call { BYTE.load(Ordering::Relaxed) } else { 0 };
    Ok(match SIGNAL.load(Ordering::Relaxed) {
        0 => Outcome::Value(read),
        signal => Outcome::Failed(CallError::Signal(SigInfo {
            signal: SigNumber::from_number(signal),
            code: SigCode(CODE.load(Ordering::Relaxed)),
            addr: ADDR.load(Ordering::Relaxed),
        })),
    })
}

extern "C" fn make_access(call: *mut c_void) -> c_int {
    // SAFETY: it is the call that `access` passes, which nobody changes meanwhile.
    match *unsafe { &*call.cast::<Call>() } {
        Call::Memset { addr, byte, len } => memset(addr, byte, len),
        Call::ExplicitBzero { addr, len } => memset(addr, 0, len),
        Call::Touch { addr, len, access } => touch(addr, len, access == Access::Write),
        Call::Check { addr, .. } => BYTE.store(load(addr).into(), Ordering::Relaxed),
        _ => {}
    }
    0
}

fn touch(addr: u64, len: u64, write: bool) {
    let mut offset = 0;
    while offset < len {
        if write {
            store(addr.wrapping_add(offset), 1);
        } else {
            load(addr.wrapping_add(offset));
        }
        offset = offset.saturating_add(PAGE);
    }
}

/// Page by page upwards, the first byte of a page first: the signal names that one.
fn memset(addr: u64, byte: u8, len: u64) {
    let end = addr.saturating_add(len);
    let mut at = addr;
    while at < end {
        let here = (PAGE - at % PAGE).min(end - at);
        store(at, byte);
        let to = ptr::with_exposed_provenance_mut::<c_void>(at as usize);
        // SAFETY: as for `store`; these bytes lie in the page that it wrote to.
        unsafe { libc::memset(to, byte.into(), here as usize) };
        at += here;
    }
}

/// Reads a byte. By the C library, to which any address may be given, 0 too.
fn load(addr: u64) -> u8 {
    let mut byte = 0_u8;
    let from = ptr::with_exposed_provenance::<c_void>(addr as usize);
    // SAFETY: memory of a scenario holds nothing of this program; where it cannot be read, a signal ends this thread.
    unsafe { libc::memcpy((&raw mut byte).cast(), from, 1) };
    std::hint::black_box(byte)
}

/// Writes a byte, likewise.
fn store(addr: u64, byte: u8) {
    let to = ptr::with_exposed_provenance_mut::<c_void>(addr as usize);
    // SAFETY: memory of a scenario holds nothing of this program; where it cannot be written, a signal ends this thread.
    unsafe { libc::memset(to, byte.into(), 1) };
}

fn catch_faults() -> io::Result<()> {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: a structure of numbers and pointers may be all zeros.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = note_fault as extern "C" fn(_, _, _) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: the handler does nothing but store to atomics and end.
        if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // Ended children of a scenario's forks are not waited for.
    // SAFETY: no handler runs.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    Ok(())
}

extern "C" fn note_fault(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel passes a siginfo of a fault.
    let (code, addr) = unsafe { ((*info).si_code, (*info).si_addr() as u64) };
    SIGNAL.store(signal, Ordering::Relaxed);
    CODE.store(code, Ordering::Relaxed);
    ADDR.store(addr, Ordering::Relaxed);
    end()
}

#[cfg(test)]
mod tests {
    use super::NUMBERS;
    use ptelab_uapi::{Class, FORMS};

    #[test]
    fn every_system_call_has_a_number() {
        for form in FORMS.iter().filter(|form| form.class == Class::Memory) {
            assert!(NUMBERS.iter().any(|(name, _)| *name == form.name), "{}", form.name);
        }
    }
}
