//! One line, one call: every form in which strace prints arguments.

use ptelab_scenario::strace::{Clock, Fd, LoggedOutcome, LoggedRange, LoggedText, Syscall};
use ptelab_uapi::{
    Advice, Errno, MAP, MapFlags, MclFlags, MlockFlags, MremapFlags, MsFlags, Prot, SHMGET, ShmFlags,
};

use super::{call, read};

const NONE: Fd = Fd { number: -1, path: None, deleted: false };

fn text(text: &str) -> LoggedText {
    LoggedText { text: text.to_owned(), truncated: false }
}

fn fd(number: i32, path: &str) -> Fd {
    Fd { number, path: Some(path.to_owned()), deleted: false }
}

fn decodes(rows: &[(&str, Syscall)]) {
    for (line, expected) in rows {
        let found = call(&format!("{line} = 0\n"));
        assert_eq!(&found.call, expected, "{line}");
        assert_eq!(found.outcome, LoggedOutcome::Value(0), "{line}");
        assert_eq!(found.text, format!("{line} = 0"));
        assert!(line.starts_with(found.name), "{line}");
    }
}

#[test]
fn memory_calls() {
    let (addr, len) = (0x7f00_0000_1000, 4096);
    decodes(&[
        ("munmap(0x7f0000001000, 4096)", Syscall::Munmap { addr, len }),
        (
            "mprotect(0x7f0000001000, 4096, PROT_NONE)",
            Syscall::Mprotect { addr, len, prot: Prot::empty(), pkey: None },
        ),
        (
            "mprotect(0x7f0000001000, 4096, PROT_READ|PROT_WRITE|PROT_EXEC)",
            Syscall::Mprotect { addr, len, prot: Prot::READ | Prot::WRITE | Prot::EXEC, pkey: None },
        ),
        (
            "pkey_mprotect(0x7f0000001000, 4096, PROT_READ, -1)",
            Syscall::Mprotect { addr, len, prot: Prot::READ, pkey: Some(-1) },
        ),
        (
            "madvise(0x7f0000001000, 4096, MADV_DONTNEED)",
            Syscall::Madvise { addr, len, advice: Advice::DONTNEED },
        ),
        (
            "madvise(0x7f0000001000, 4096, 0x66 /* MADV_??? */)",
            Syscall::Madvise { addr, len, advice: Advice::from_raw(102) },
        ),
        (
            "mremap(0x7f0000001000, 4096, 8192, MREMAP_MAYMOVE)",
            Syscall::Mremap {
                old_addr: addr,
                old_len: len,
                new_len: 8192,
                flags: MremapFlags::MAYMOVE,
                new_addr: None,
            },
        ),
        (
            "mremap(0x7f0000001000, 4096, 8192, MREMAP_MAYMOVE|MREMAP_FIXED, 0x10000)",
            Syscall::Mremap {
                old_addr: addr,
                old_len: len,
                new_len: 8192,
                flags: MremapFlags::from_bits_retain(3),
                new_addr: Some(0x1_0000),
            },
        ),
        ("brk(NULL)", Syscall::Brk { addr: 0 }),
        ("brk(0x10000)", Syscall::Brk { addr: 0x1_0000 }),
        ("mlock(0x7f0000001000, 4096)", Syscall::Mlock { addr, len, flags: MlockFlags::empty() }),
        (
            "mlock2(0x7f0000001000, 4096, MLOCK_ONFAULT)",
            Syscall::Mlock { addr, len, flags: MlockFlags::from_bits_retain(1) },
        ),
        ("munlock(0x7f0000001000, 4096)", Syscall::Munlock { addr, len }),
        (
            "mlockall(MCL_CURRENT|MCL_FUTURE|MCL_ONFAULT)",
            Syscall::Mlockall { flags: MclFlags::from_bits_retain(7) },
        ),
        ("munlockall()", Syscall::Munlockall),
        (
            "msync(0x7f0000001000, 4096, MS_SYNC|MS_INVALIDATE)",
            Syscall::Msync { addr, len, flags: MsFlags::from_bits_retain(6) },
        ),
        ("mincore(0x7f0000001000, 4096, [1])", Syscall::Mincore { addr, len }),
        (
            "munmap(0xffffffffffffffff, 18446744073709551615)",
            Syscall::Munmap { addr: u64::MAX, len: u64::MAX },
        ),
    ]);
}

#[test]
fn process_madvise_has_its_ranges() {
    let ranges = vec![LoggedRange { addr: 0x1000, len: 4096 }, LoggedRange { addr: 0x4000, len: 1 }];
    let of = |pidfd, ranges, count| Syscall::ProcessMadvise {
        pidfd: Some(pidfd),
        ranges,
        count,
        advice: Advice::COLD,
        flags: 0,
    };
    let two = "[{iov_base=0x1000, iov_len=4096}, {iov_base=0x4000, iov_len=1}]";
    decodes(&[
        (
            &format!("process_madvise(3<pid:1234>, {two}, 2, MADV_COLD, 0)"),
            of(fd(3, "pid:1234"), Some(ranges.clone()), 2),
        ),
        (
            &format!("process_madvise(3<anon_inode:[pidfd]>, {}, ...], 9, 0x14, 0)", &two[..two.len() - 1]),
            of(fd(3, "anon_inode:[pidfd]"), Some(ranges), 9),
        ),
        ("process_madvise(-1, [], 0, MADV_COLD, 0)", of(NONE, Some(vec![]), 0)),
        ("process_madvise(-1, 0x7ffd0000, 2, 0x14 /* MADV_COLD */, 0)", of(NONE, None, 2)),
    ]);
    assert_eq!((fd(3, "pid:1234").pid(), fd(3, "/pid:1234").pid(), NONE.pid()), (Some(1234), None, None));
}

#[test]
fn process_calls() {
    let clone = |flags: u64, exit_signal: u64, stack| Syscall::Clone {
        flags: Some(flags),
        exit_signal: Some(exit_signal),
        stack,
        stack_size: None,
    };
    let by_address = Syscall::Clone { flags: None, exit_signal: None, stack: None, stack_size: None };
    let thread = Syscall::Clone {
        flags: Some(0x1_0100),
        exit_signal: Some(0),
        stack: Some(0x7f00_0000),
        stack_size: Some(0x7f_ff80),
    };
    decodes(&[
        ("fork()", Syscall::Fork),
        ("vfork()", Syscall::Vfork),
        (
            "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f10)",
            clone(0x120_0000, 17, Some(0)),
        ),
        ("clone(stack=0x7f20, flags=CLONE_VM|CLONE_VFORK|SIGCHLD)", clone(0x4100, 17, Some(0x7f20))),
        (
            "clone(child_stack=0x7f20, flags=CLONE_VM, parent_tid=[7], tls=0x10)",
            clone(0x100, 0, Some(0x7f20)),
        ),
        ("clone(child_stack=NULL, flags=0x1200000|17, child_tidptr=0x7f10)", clone(0x120_0000, 17, Some(0))),
        (
            "clone(child_stack=NULL, flags=0x1200000 /* CLONE_A */|17 /* SIGCHLD */)",
            clone(0x120_0000, 17, Some(0)),
        ),
        (
            "clone3({flags=CLONE_VM|CLONE_THREAD, child_tid=0x7f10, parent_tid=0x7f10, exit_signal=0, stack=0x7f000000, \
             stack_size=0x7fff80, tls=0x7f20} => {parent_tid=[9825]}, 88)",
            thread.clone(),
        ),
        ("clone3({flags=0x10100, exit_signal=0, stack=0x7f000000, stack_size=0x7fff80}, 88)", thread),
        ("clone3(0x7fff450f9c70, 0)", by_address),
        ("exit(7)", Syscall::Exit { status: 7 }),
        ("exit_group(-1)", Syscall::ExitGroup { status: -1 }),
        (
            "execve(\"/bin/a\\\"b\", [\"a\", \"b)\"...], 0x7ffc /* 35 vars */)",
            Syscall::Execve { dir: None, path: Some(text("/bin/a\"b")) },
        ),
        ("execve(0x10, NULL, NULL)", Syscall::Execve { dir: None, path: None }),
        (
            "execveat(AT_FDCWD</tmp>, \"a\", [\"a\"], NULL, 0)",
            Syscall::Execve { dir: Some(fd(-100, "/tmp")), path: Some(text("a")) },
        ),
    ]);
}

#[test]
fn prctl_and_shared_memory() {
    let name = |name| Syscall::SetVmaAnonName { addr: 0x1000, len: 4096, name };
    let create = SHMGET.value("IPC_CREAT").expect("a name");
    decodes(&[
        ("prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)", Syscall::SetThpDisable { on: 1, flags: 0 }),
        (
            "prctl(PR_SET_THP_DISABLE, 1, PR_THP_DISABLE_EXCEPT_ADVISED, 0, 0)",
            Syscall::SetThpDisable { on: 1, flags: 2 },
        ),
        ("prctl(0x29, 1, 0, 0, 0)", Syscall::SetThpDisable { on: 1, flags: 0 }),
        ("prctl(0x2a /* PR_GET_THP_DISABLE */, 0, 0, 0, 0)", Syscall::GetThpDisable),
        ("prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0x1000, 4096, \"na\\\"me\")", name(Some(text("na\"me")))),
        ("prctl(0x53564d41, 0, 0x1000, 4096, NULL)", name(None)),
        (
            "shmget(IPC_PRIVATE, 8192, IPC_CREAT|0600)",
            Syscall::Shmget { key: 0, size: 8192, flags: ShmFlags::from_bits_retain(create | 0o600) },
        ),
        (
            "shmget(0x1234, 8192, 0x200 /* IPC_CREAT */|0600)",
            Syscall::Shmget { key: 0x1234, size: 8192, flags: ShmFlags::from_bits_retain(create | 0o600) },
        ),
        (
            "shmat(7, NULL, SHM_RDONLY)",
            Syscall::Shmat { id: 7, addr: 0, flags: ShmFlags::from_bits_retain(0o1_0000) },
        ),
        ("shmdt(0x1000)", Syscall::Shmdt { addr: 0x1000 }),
        ("shmctl(7, IPC_RMID, NULL)", Syscall::ShmRemove { id: 7 }),
        ("shmctl(7, 0 /* IPC_RMID */, NULL)", Syscall::ShmRemove { id: 7 }),
    ]);
    let (entries, stats) =
        read("prctl(PR_SET_NAME, \"a\") = 0\nprctl(9999, 1) = 0\nshmctl(7, IPC_STAT, {a=1}) = 0\n");
    let skipped: Vec<_> = stats.skipped.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!((entries.len(), skipped), (0, vec![("prctl", 2), ("shmctl", 1)]));
}

#[test]
fn every_flag_of_mmap() {
    let flags = |text: &str| match call(&format!("mmap(NULL, 1, PROT_READ, {text}, -1, 0) = 0\n")).call {
        Syscall::Mmap { flags, .. } => flags,
        other => panic!("{other:?}"),
    };
    let mut all = 0;
    for entry in MAP.entries {
        assert_eq!(flags(entry.name), MapFlags::from_bits_retain(entry.value), "{}", entry.name);
        all |= entry.value;
    }
    let names: Vec<_> = MAP.entries.iter().map(|entry| entry.name).collect();
    assert_eq!(flags(&names.join("|")), MapFlags::from_bits_retain(all));
    for (text, value) in [
        ("MAP_PRIVATE|0x8000000", 0x800_0002),
        ("0x8 /* MAP_??? */|MAP_ANONYMOUS", 0x28),
        ("0x28 /* 0x8 /* MAP_??? */|MAP_ANONYMOUS */", 0x28),
        ("0x22 /* MAP_PRIVATE|MAP_ANONYMOUS */", 0x22),
        ("MAP_PRIVATE|MAP_HUGETLB|21<<MAP_HUGE_SHIFT", 0x4_0002 | 21 << 26),
        ("MAP_PRIVATE|3<<MAP_HUGE_SHIFT", 2 | 3 << 26),
        ("0x54040022", 0x5404_0022),
        ("0", 0),
    ] {
        assert_eq!(flags(text), MapFlags::from_bits_retain(value), "{text}");
    }
}

#[test]
fn descriptors_and_their_paths() {
    let fd = |text: &str| match call(&format!("mmap2(NULL, 1, PROT_READ, MAP_SHARED, {text}, 0x1000) = 0\n"))
        .call
    {
        Syscall::Mmap { fd: Some(fd), offset: 0x1000, .. } => fd,
        other => panic!("{other:?}"),
    };
    for (text, path, deleted) in [
        ("3", None, false),
        ("3</lib/a b.so>", Some("/lib/a b.so"), false),
        (r#"3</tmp/a \74 b \76 \"x\"\n>"#, Some("/tmp/a < b > \"x\"\n"), false),
        ("3</tmp/a < b > c, d>", Some("/tmp/a < b > c, d"), false),
        ("3</tmp/a\\303\\251>(deleted)", Some("/tmp/aé"), true),
        ("3</tmp/a (deleted)>", Some("/tmp/a"), true),
        ("3</dev/dri/card0<char 226:0>>", Some("/dev/dri/card0"), false),
        ("3<socket:[1->2]>", Some("socket:[1->2]"), false),
        ("3<anon_inode:[eventpoll]>", Some("anon_inode:[eventpoll]"), false),
    ] {
        assert_eq!(fd(text), Fd { number: 3, path: path.map(str::to_owned), deleted }, "{text}");
    }
    assert_eq!((fd("-1"), fd("4294967295")), (NONE, NONE));
}

#[test]
fn what_was_opened() {
    for (line, path, truncated) in [
        (r#"open("/proc/self/maps", O_RDONLY)"#, "/proc/self/maps", false),
        (r#"openat(AT_FDCWD</a>, "/proc/1234/smaps", O_RDONLY|O_CLOEXEC)"#, "/proc/1234/smaps", false),
        (r#"openat(-100, "\x2fproc\57self\tx", 0x42, 0644)"#, "/proc/self\tx", false),
        (
            r#"openat2(AT_FDCWD, "/proc/self/maps", {flags=O_RDONLY, resolve=0}, 24)"#,
            "/proc/self/maps",
            false,
        ),
        (r#"open("/proc/self/ma"..., O_RDONLY)"#, "/proc/self/ma", true),
    ] {
        let found = call(&format!("{line} = 3</proc/1234/maps> <0.000012>\n"));
        let Syscall::Open { path: Some(text), .. } = found.call else { panic!("{line}") };
        assert_eq!((text.text.as_str(), text.truncated), (path, truncated), "{line}");
        assert_eq!((found.outcome, found.duration), (LoggedOutcome::Value(3), Some(0.000_012)));
        assert_eq!(found.result_path.as_deref(), Some("/proc/1234/maps"));
    }
}

#[test]
fn columns_in_front_say_who_and_when() {
    for (columns, pid, time) in [
        ("", None, None),
        ("1234  ", Some(1234), None),
        ("[pid  1234] ", Some(1234), None),
        ("[pid  1234] 00:01:40.500000 ", Some(1234), Some((100.5, Clock::Midnight))),
        ("1234  00:01:40 ", Some(1234), Some((100.0, Clock::Midnight))),
        ("[pid 1234<cat>] 1795508980.500000 ", Some(1234), Some((1_795_508_980.5, Clock::Epoch))),
        ("1234       0.250000 ", Some(1234), Some((0.25, Clock::PreviousLine))),
        ("     0.250000 ", None, Some((0.25, Clock::PreviousLine))),
    ] {
        let (entries, _) = read(&format!("\n{columns}munmap(0x1000, 1) = -1 EINVAL (Invalid argument)\n"));
        let [entry] = &entries[..] else { panic!("{columns}: {entries:?}") };
        assert_eq!((entry.line, entry.end_line, entry.pid), (2, 2, pid), "{columns}");
        assert_eq!(entry.time.map(|time| (time.seconds, time.clock)), time, "{columns}");
    }
}

#[test]
fn failures_are_outcomes() {
    let outcome = |result: &str| call(&format!("madvise(0x1000, 1, MADV_COLD) = {result}\n")).outcome;
    assert_eq!(outcome("-1 EFAULT (Bad address)"), LoggedOutcome::Failed(Errno::EFAULT));
    assert_eq!(outcome("-1 EBADMSG (Bad message)"), LoggedOutcome::FailedOther("EBADMSG".to_owned()));
    assert_eq!(outcome("? ERESTARTSYS (To be restarted if SA_RESTART is set)"), LoggedOutcome::Restarted);
    assert_eq!(outcome("?"), LoggedOutcome::Unknown);
}
