//! Lines of perf trace.

use ptelab_scenario::strace::{Clock, Fd, LogEvent, LoggedOutcome, Syscall, Touch};
use ptelab_uapi::{Advice, Errno, MapFlags, MremapFlags, Prot};

use super::read;

fn calls(log: &str) -> Vec<(Option<u32>, Syscall, LoggedOutcome)> {
    let (entries, _) = read(log);
    let call = |kind| match kind {
        LogEvent::Call(call) => (call.call, call.outcome),
        other => panic!("{other:?}"),
    };
    entries
        .into_iter()
        .map(|entry| (entry.pid, call(entry.kind)))
        .map(|(pid, (call, outcome))| (pid, call, outcome))
        .collect()
}

#[test]
fn what_is_left_out_is_zero() {
    let of = |fd, offset| Syscall::Mmap {
        addr: 0,
        len: 8192,
        prot: Prot::READ | Prot::WRITE,
        flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS,
        fd,
        offset,
    };
    let fd = |number, path: Option<&str>| Fd { number, path: path.map(str::to_owned), deleted: false };
    let log = "     0.123 ( 0.004 ms): cat/1234 mmap(len: 8192, prot: READ|WRITE, flags: PRIVATE|ANONYMOUS, fd: -1)    = 0x7f1b2c3d4000\n\
               \x20    0.223 ( 0.004 ms): cat/1234 mmap(len: 8192, prot: READ|WRITE, flags: PRIVATE|ANONYMOUS)    = 0x7f1b2c3d4000\n\
               \x20    0.323 ( 0.004 ms): cat/1234 mmap(len: 8192, prot: PROT_READ|WRITE, flags: 0x22, fd: 3</lib/a.so>, off: 4096) = -1 ENODEV (No such device)\n";
    let address = || LoggedOutcome::Value(0x7f1b_2c3d_4000);
    let expected = [
        (Some(1234), of(Some(fd(-1, None)), 0), address()),
        (Some(1234), of(None, 0), address()),
        (Some(1234), of(Some(fd(3, Some("/lib/a.so"))), 4096), LoggedOutcome::Failed(Errno::ENODEV)),
    ];
    assert_eq!(calls(log), expected);
}

#[test]
fn arguments_by_the_kernels_names() {
    for (text, expected) in [
        ("munmap(addr: 0x1000, len: 4096)", Syscall::Munmap { addr: 0x1000, len: 4096 }),
        (
            "mprotect(start: 0x1000, len: 4096, prot: NONE)",
            Syscall::Mprotect { addr: 0x1000, len: 4096, prot: Prot::empty(), pkey: None },
        ),
        (
            "mprotect(start: 0x1000, len: 4096)",
            Syscall::Mprotect { addr: 0x1000, len: 4096, prot: Prot::empty(), pkey: None },
        ),
        (
            "madvise(start: 0x1000, len_in: 4096, behavior: DONTNEED)",
            Syscall::Madvise { addr: 0x1000, len: 4096, advice: Advice::DONTNEED },
        ),
        (
            "madvise(start: 0x1000, len_in: 4096, behavior: MADV_FREE)",
            Syscall::Madvise { addr: 0x1000, len: 4096, advice: Advice::FREE },
        ),
        (
            "mremap(addr: 0x1000, old_len: 1, new_len: 2, flags: MAYMOVE)",
            Syscall::Mremap {
                old_addr: 0x1000,
                old_len: 1,
                new_len: 2,
                flags: MremapFlags::MAYMOVE,
                new_addr: None,
            },
        ),
        ("brk()", Syscall::Brk { addr: 0 }),
        ("brk(brk: 0x1000)", Syscall::Brk { addr: 0x1000 }),
        (
            "clone(clone_flags: VM|VFORK|0x11, newsp: 0x7f20)",
            Syscall::Clone {
                flags: Some(0x4100),
                exit_signal: Some(17),
                stack: Some(0x7f20),
                stack_size: None,
            },
        ),
        ("exit_group(error_code: 1)", Syscall::ExitGroup { status: 1 }),
        ("exit_group()", Syscall::ExitGroup { status: 0 }),
    ] {
        let found = calls(&format!("     0.1 ( 0.001 ms): a b/7 {text}    = 0\n"));
        assert_eq!(found, [(Some(7), expected, LoggedOutcome::Value(0))], "{text}");
    }
}

#[test]
fn calls_in_two_parts() {
    let (entries, stats) = read(
        "         ? (         ): ls/7  ... [continued]: execve())                 = 0\n\
         \x20    1.500 (         ): ls/7 madvise(start: 0x1000, len_in: 4096, behavior: COLD)            ...\n\
         \x20    1.600 ( 0.100 ms): ls/8 futex(uaddr: 0x10)                 = 0\n\
         \x20    1.500 ( 2.000 ms): ls/7  ... [continued]: madvise())         = 0\n",
    );
    let [entry] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((entry.line, entry.end_line, entry.pid), (2, 4, Some(7)));
    assert_eq!(entry.time.map(|time| (time.seconds, time.clock)), Some((0.0015, Clock::Start)));
    let LogEvent::Call(call) = &entry.kind else { panic!("{entry:?}") };
    assert_eq!((call.duration, &call.outcome), (Some(0.002), &LoggedOutcome::Value(0)));
    assert_eq!((stats.orphans, stats.skipped["futex"]), (1, 1));
}

#[test]
fn page_faults_are_touches() {
    let (entries, stats) = read(
        "     0.345 ( 0.000 ms): cat/1234 minfault [_dl_start+0x0] => /lib/ld.so@0x1000 (d.)\n\
         \x20    0.355 ( 0.000 ms): cat/1234 majfault [memset+0x32] => //anon@0x7f1234567000 (d.)\n\
         \x20    0.365 ( 0.000 ms): cat/1234 minfault [elf_load+0x28a] => 0x559c1e9a5100 (?k)\n",
    );
    let touch = |major, addr, map: Option<&str>, offset| {
        LogEvent::Touch(Touch { major, addr, map: map.map(str::to_owned), offset })
    };
    let found: Vec<_> = entries.into_iter().map(|entry| entry.kind).collect();
    let expected = [
        touch(false, None, Some("/lib/ld.so"), Some(0x1000)),
        touch(true, Some(0x7f12_3456_7000), Some("//anon"), None),
        touch(false, Some(0x559c_1e9a_5100), None, None),
    ];
    assert_eq!(found, expected);
    assert_eq!(stats.touches, 3);
}
