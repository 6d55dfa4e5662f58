//! Calls in two parts, several processes, and lines that are no calls.

use ptelab_scenario::strace::{LogEntry, LogEvent, LoggedOutcome, Stats, Syscall, Unfinished};
use ptelab_uapi::Prot;

use super::{lines, read, read_all};

/// Line, last line, process and name of an entry.
type Row = (u64, u64, Option<u32>, String);

fn summary(log: &str) -> (Vec<Row>, Stats) {
    let (entries, stats) = read(log);
    let name = |entry: &LogEntry| match &entry.kind {
        LogEvent::Call(call) => call.name.to_owned(),
        LogEvent::Begun(_) => unreachable!("left out by read"),
        LogEvent::Signal { name, .. } => name.clone(),
        LogEvent::Exited { code } => format!("exited {code}"),
        LogEvent::Killed { signal, core_dumped } => format!("killed {signal} {core_dumped}"),
        LogEvent::Superseded { by } => format!("superseded {by}"),
        LogEvent::Touch(_) | LogEvent::InUse(_) | LogEvent::MostResident(_) => "touch".to_owned(),
        LogEvent::HugePages(_) => "huge pages".to_owned(),
        LogEvent::Site(_) => "site".to_owned(),
    };
    (entries.iter().map(|entry| (entry.line, entry.end_line, entry.pid, name(entry))).collect(), stats)
}

fn row(line: u64, end_line: u64, pid: u32, name: &str) -> Row {
    (line, end_line, Some(pid), name.to_owned())
}

#[test]
fn parts_are_joined_per_process() {
    let (entries, stats) = read(
        "1 00:00:01 mprotect(0x1000, 4096, PROT_READ|PROT_WRITE <unfinished ...>\n\
         2 00:00:02 mprotect(0x2000, 4096, PROT_READ <unfinished ...>\n\
         1 00:00:03 <... mprotect resumed>)           = 0 <0.5>\n\
         2 00:00:04 <... mprotect resumed> ) = -1 EINVAL (Invalid argument)\n",
    );
    let mprotect = |addr, prot| Syscall::Mprotect { addr, len: 4096, prot, pkey: None };
    let [first, second] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((first.line, first.end_line, first.pid), (1, 3, Some(1)));
    assert_eq!((second.line, second.end_line, second.pid), (2, 4, Some(2)));
    assert_eq!(first.time.map(|time| time.seconds), Some(1.0));
    let (LogEvent::Call(first), LogEvent::Call(second)) = (&first.kind, &second.kind) else {
        panic!("{entries:?}")
    };
    assert_eq!((&first.call, first.duration), (&mprotect(0x1000, Prot::READ | Prot::WRITE), Some(0.5)));
    assert_eq!(first.text, "mprotect(0x1000, 4096, PROT_READ|PROT_WRITE)           = 0 <0.5>");
    assert_eq!(second.call, mprotect(0x2000, Prot::READ));
    assert_eq!((stats.calls, stats.unfinished_count, stats.orphans), (2, 0, 0));
}

/// What a call does, it may have done long before its second part is printed.
#[test]
fn first_parts_are_entries_where_they_say_enough() {
    let (entries, stats) = read_all(
        "1 munmap(0x1000, 4096 <unfinished ...>\n\
         2 vfork( <unfinished ...>\n\
         3 mmap(NULL <unfinished ...>\n\
         1 <... munmap resumed>) = 0\n",
    );
    let found: Vec<_> = entries.iter().map(|entry| (entry.line, entry.end_line, entry.pid)).collect();
    assert_eq!(found, [(1, 1, Some(1)), (2, 2, Some(2)), (1, 4, Some(1))]);
    let [LogEvent::Begun(begun), LogEvent::Begun(vfork), LogEvent::Call(call)] =
        [0, 1, 2].map(|i| &entries[i].kind)
    else {
        panic!("{entries:?}")
    };
    let munmap = Syscall::Munmap { addr: 0x1000, len: 4096 };
    assert_eq!((&begun.call, &begun.outcome), (&munmap, &LoggedOutcome::Unknown));
    assert_eq!((&call.call, &call.outcome), (&munmap, &LoggedOutcome::Value(0)));
    assert_eq!(vfork.name, "vfork");
    assert_eq!((stats.calls, stats.unfinished_count), (1, 2));
}

#[test]
fn arguments_may_come_in_the_second_part() {
    let (found, _) = summary(
        "1 clone3({flags=CLONE_VM, exit_signal=0, stack=0x10, stack_size=0x20} <unfinished ...>\n\
         2 vfork( <unfinished ...>\n\
         1 <... clone3 resumed> => {parent_tid=[3]}, 88) = 3\n\
         2 <... vfork resumed>) = 4\n",
    );
    assert_eq!(found, [row(1, 3, 1, "clone3"), row(2, 4, 2, "vfork")]);
}

#[test]
fn calls_that_do_not_return() {
    let (entries, stats) = read(
        "exit_group(3)                     = ?\n\
         exit_group(1 <unfinished ...>) = ?\n\
         exit(0 <unfinished ...>\n\
         <... exit resumed>)              = ?\n\
         restart_syscall(<... resuming interrupted read ...>) = ? ERESTARTSYS (To be restarted)\n",
    );
    let calls: Vec<_> = entries.into_iter().map(|entry| entry.kind).collect();
    let expected =
        [Syscall::ExitGroup { status: 3 }, Syscall::ExitGroup { status: 1 }, Syscall::Exit { status: 0 }];
    assert_eq!(calls.len(), 3);
    for (found, expected) in calls.iter().zip(&expected) {
        let LogEvent::Call(call) = found else { panic!("{found:?}") };
        assert_eq!((&call.call, &call.outcome), (expected, &LoggedOutcome::Unknown));
    }
    assert_eq!(stats.skipped["restart_syscall"], 1);
}

#[test]
fn what_is_never_resumed_is_named() {
    let (found, stats) = summary(
        "1 madvise(0x1000, 4096, MADV_COLD <unfinished ...>\n\
         2 mlock(0x1000, 4096 <unfinished ...>\n\
         2 munmap(0x1000, 4096 <unfinished ...>\n\
         1 +++ killed by SIGKILL (core dumped) +++\n\
         3 brk(NULL <detached ...>\n\
         4 <... brk resumed>) = 0x1000\n",
    );
    assert_eq!(found, [row(4, 4, 1, "killed SIGKILL true")]);
    let of = |line, pid, name| Unfinished { line, pid: Some(pid), name };
    assert_eq!(
        stats.unfinished,
        [of(2, 2, "mlock"), of(1, 1, "madvise"), of(5, 3, "brk"), of(3, 2, "munmap")]
    );
    assert_eq!((stats.unfinished_count, stats.orphans, stats.ends), (4, 1, 1));
}

#[test]
fn an_exec_in_a_thread_goes_on_under_the_leaders_number() {
    let in_file = "12 execve(\"/bin/true\", [\"true\"], 0x7ffc09a359f8 /* 35 vars */ <unfinished ...>\n\
                   11 <... futex resumed>)              = ?\n\
                   11 +++ superseded by execve in pid 12 +++\n\
                   11 <... execve resumed>)             = 0\n";
    let (found, stats) = summary(in_file);
    assert_eq!(found, [row(3, 3, 11, "superseded 12"), row(1, 4, 11, "execve")]);
    assert_eq!(stats.unfinished_count, 0);

    let on_terminal = "brk(NULL) = 0x1000\n\
                       strace: Process 12 attached\n\
                       [pid    12] execve(\"/bin/true\", [\"true\"], NULL <unfinished ...>\n\
                       [pid    11] <... futex resumed>)        = ?\n\
                       +++ superseded by execve in pid 12 +++\n\
                       <... execve resumed>)                   = 0\n\
                       brk(NULL) = 0x1000\n";
    let (found, _) = summary(on_terminal);
    assert_eq!(found[1..], [row(5, 5, 11, "superseded 12"), row(3, 6, 11, "execve"), row(7, 7, 11, "brk")]);
}

#[test]
fn a_message_in_the_middle_of_a_call() {
    let (found, stats) = summary(
        "clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLDstrace: Process 8 attached\n\
         strace: Process 9 attached\n\
         , child_tidptr=0x7f10) = 8\n\
         [pid     8] exit_group(0)               = ?\n\
         [pid     7] vfork(strace: Process 10 attached\n \
         <unfinished ...>\n\
         [pid    10] exit(0) = ?\n\
         [pid     7] <... vfork resumed>) = 10\n\
         wait4(-1,strace: Process 11 attached\n \
         <unfinished ...>\n",
    );
    let mut expected = vec![(1, 3, None, "clone".to_owned()), row(4, 4, 8, "exit_group")];
    expected.extend([row(7, 7, 10, "exit"), row(5, 8, 7, "vfork")]);
    assert_eq!(found, expected);
    assert_eq!((stats.unrecognised, stats.unfinished_count, stats.skipped["wait4"]), (0, 0, 1));
}

#[test]
fn lines_without_a_process_are_of_the_one_that_is_left() {
    let (found, _) = summary(
        "brk(NULL) = 0x1000\n\
         strace: Process 8 attached\n\
         [pid     8] brk(NULL) = 0x1000\n\
         [pid     7] munmap(0x1000, 1 <unfinished ...>\n\
         [pid     8] +++ exited with 2 +++\n\
         <... munmap resumed>) = 0\n\
         --- SIGCHLD {si_signo=SIGCHLD, si_pid=8} ---\n\
         +++ exited with 0 +++\n",
    );
    let mut expected = vec![(1, 1, None, "brk".to_owned()), row(3, 3, 8, "brk"), row(5, 5, 8, "exited 2")];
    expected.extend([row(4, 6, 7, "munmap"), row(7, 7, 7, "SIGCHLD"), row(8, 8, 7, "exited 0")]);
    assert_eq!(found, expected);
}

#[test]
fn a_process_in_brackets_is_the_same_as_in_a_column() {
    let calls = ["1 brk(NULL) = 0x1000", "2 munmap(0x1000, 4096 <unfinished ...>", "1 +++ exited with 0 +++"];
    let resumed = "2 <... munmap resumed>) = 0";
    let plain = lines(calls.into_iter().chain([resumed]).map(str::to_owned));
    let bracketed = lines(plain.lines().map(|line| format!("[pid  {}] {}", &line[..1], &line[2..])));
    assert_eq!(read(&plain), read(&bracketed));
    assert_eq!(read(&plain).0.len(), 3);
}

#[test]
fn lines_that_are_no_calls_are_counted() {
    let (found, stats) = summary(
        "1 brk(NULL)                         = 0x55e7fd019000\n \
         > /usr/lib/ld-linux-x86-64.so.2(_dl_catch_error+0x77c7) [0x1fc47]\n\
         1 --- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x1234} ---\n\
         1 --- stopped by SIGSTOP ---\n\
         strace: Process 1 detached\n\
         1 arch_prctl(ARCH_SET_FS, 0x7fda43f35740) = 0\n\
         1 getrandom(\"\\xa2) = 1\", 8, GRND_NONBLOCK) = 8\n\
         1 poll([{fd=3, events=POLLIN}], 1, 5) = 1 ([{fd=3, revents=POLLIN}])\n\
         1 futex(0x7f10, FUTEX_WAIT, 2, NULL <unfinished ...>\n\
         1 <... futex resumed>) = 0\n\
         1 arch_prctl(ARCH_GET_FS, [0x7fda43f35740]) = 0\n\
         hello, world\n\
         main(argc, argv)\n\n\
         1 +++ exited with 0 +++\n",
    );
    assert_eq!(found, [row(1, 1, 1, "brk"), row(3, 3, 1, "SIGSEGV"), row(15, 15, 1, "exited 0")]);
    let skipped: Vec<_> = stats.skipped.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(skipped, [("arch_prctl", 2), ("futex", 1), ("getrandom", 1), ("poll", 1)]);
    assert_eq!((stats.lines, stats.calls, stats.signals, stats.ends, stats.stops), (15, 1, 1, 1, 1));
    assert_eq!((stats.messages, stats.stack_lines, stats.orphans), (1, 1, 0));
    assert_eq!((stats.unrecognised, stats.first_unrecognised), (2, Some(12)));
}
