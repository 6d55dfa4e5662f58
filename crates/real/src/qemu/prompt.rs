//! A thread that waits for a guest on the same CPU, and wants to go on as soon as there is an answer.

use rustix::thread::set_current_timer_slack;
use std::ffi::{c_long, c_uint};
use std::num::NonZeroU64;

/// `struct sched_attr` as Linux 3.14 has it.
#[repr(C)]
#[derive(Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// How long this thread runs before others do, in ns, where the kernel (6.12 and later) heeds it: who has less goes first.
const SLICE: u64 = 100_000;

/// Lets this thread sleep for short times, and preempt who has run for longer. Where that cannot be, all goes on more slowly.
pub(super) fn be_prompt() {
    let _ = set_current_timer_slack(NonZeroU64::new(1));
    let size = size_of::<SchedAttr>() as c_uint;
    let mut attr = SchedAttr::default();
    let (this_thread, no_flags): (c_long, c_uint) = (0, 0);
    // SAFETY: the kernel writes at most `size` bytes to `attr`, which has as many.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, this_thread, &raw mut attr, size, no_flags) };
    if got != 0 || attr.policy != libc::SCHED_OTHER as u32 || attr.runtime == SLICE {
        return;
    }
    (attr.size, attr.runtime) = (size, SLICE);
    // SAFETY: the kernel reads `size` bytes of `attr`.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, this_thread, &raw const attr, no_flags) };
}
