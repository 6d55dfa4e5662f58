//! Mangled logs: nothing may panic, and what is whole must be read.

use proptest::prelude::*;
use ptelab_scenario::strace::{LogEvent, Reader};

use super::lines;

/// Reads all of it; gives how many calls were delivered.
fn survive(log: &[u8]) -> u64 {
    let mut reader = Reader::new(log);
    let mut calls = 0;
    for item in reader.by_ref() {
        match item {
            Ok(entry) => {
                assert!(1 <= entry.line && entry.line <= entry.end_line, "{entry:?}");
                calls += u64::from(matches!(entry.kind, LogEvent::Call(_)));
            }
            Err(error) => assert!(!error.to_string().contains(|c: char| c.is_control()), "{error:?}"),
        }
    }
    let stats = reader.stats();
    assert_eq!(stats.calls, calls);
    assert!(stats.lines <= log.split(|byte| *byte == b'\n').count() as u64);
    calls
}

const LOG: &str = r#"11 execve("/bin/a b", ["a", "b"...], 0x7ffc /* 35 vars */) = 0
11 brk(NULL)                         = 0x55e9e3dd2000
11 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|21<<MAP_HUGE_SHIFT, -1, 0) = 0x7f70ac7bd000
11 mmap(NULL, 8192, 0x1 /* PROT_READ */, MAP_PRIVATE, 3</tmp/a \74 > b>(deleted), 0x1000) = 0x7f70ac7b3000 <0.000012>
11 openat(AT_FDCWD</opt>, "/proc/self/maps", O_RDONLY) = 3</proc/11/maps>
[pid    11] 00:00:01.5 mprotect(0x7f70ac7bd000, 4096, PROT_NONE) = 0
11 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f70) = 12
11 wait4(-1,  <unfinished ...>
12 clone3({flags=CLONE_VM, exit_signal=0, stack=0x7f0, stack_size=0x10} <unfinished ...>
11 process_madvise(3<pid:12>, [{iov_base=0x1000, iov_len=4096}], 1, MADV_COLD, 0) = 4096
12 <... clone3 resumed> => {parent_tid=[13]}, 88) = 13
11 prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0x1000, 4096, "\x61\n\33\"") = 0
11 vfork(strace: Process 14 attached
) = 14
11 shmget(IPC_PRIVATE, 8192, IPC_CREAT|0600) = 7
11 madvise(0x1000, 4096, 0x66 /* MADV_??? */) = -1 EFAULT (Bad address)
11 --- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x1234} ---
     0.123 ( 0.004 ms): cat/12 munmap(addr: 0x7f00, len: 4096) = 0
     0.345 ( 0.000 ms): cat/12 minfault [_dl_start+0x0] => /lib/ld.so@0x1000 (d.)
11 exit_group(0 <unfinished ...>) = ?
12 +++ killed by SIGKILL (core dumped) +++
"#;

#[test]
fn every_beginning_of_a_log() {
    // Which lines end a call.
    let ends = |line: &str| {
        !["wait4", "unfinished ...>\n", "attached", "---", "minfault", "+++"]
            .iter()
            .any(|part| line.contains(part))
    };
    let mut whole = 0;
    let mut begin = 0;
    for line in LOG.split_inclusive('\n') {
        for end in begin..begin + line.len() {
            let calls = survive(&LOG.as_bytes()[..end]);
            assert!(
                calls == whole || calls == whole + 1,
                "{calls} calls, {whole} whole: {}",
                &LOG[begin..end]
            );
        }
        begin += line.len();
        whole += u64::from(ends(line));
        assert_eq!(survive(&LOG.as_bytes()[..begin]), whole, "{line}");
    }
    assert_eq!(whole, 15);
}

#[test]
fn every_byte_left_out_or_replaced() {
    let log = LOG.as_bytes();
    for at in 0..log.len() {
        let without = [&log[..at], &log[at + 1..]].concat();
        assert!(survive(&without) >= 12, "without byte {at}");
        for byte in *b"\0\xff(\")>\n0" {
            let mut replaced = log.to_vec();
            replaced[at] = byte;
            assert!(survive(&replaced) >= 12, "byte {at} replaced by {byte}");
        }
    }
}

#[test]
fn long_and_deep() {
    let long = 1 << 20;
    for part in [
        "(",
        "{",
        "[",
        "<",
        "a<",
        ",",
        "|",
        "/*",
        "\"",
        "\\",
        "0x",
        "-",
        " ",
        "<<",
        "3<<",
        "=",
        "strace: Process ",
    ] {
        let text = format!("mmap({}", part.repeat((long - 100) / part.len()));
        assert_eq!(survive(text.as_bytes()), 0, "{part}");
        assert_eq!(survive(format!("{text}) = 0\n").as_bytes()), 0, "{part}");
    }
    assert_eq!(survive(format!("[pid {} brk(0) = 0\n", "9".repeat(long - 100)).as_bytes()), 0);
    let processes = lines((0..100_000).map(|pid| format!("{pid} brk(NULL <unfinished ...>")));
    assert_eq!(survive(processes.as_bytes()), 0);
}

/// What lines are made of, and what they are not.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "mmap(", "munmap(", "clone(", "clone3({", "execve(\"", "process_madvise(3, [{", "prctl(PR_SET_VMA, ", "exit_group(", "futex(",
    "1 ", "[pid 2] ", "00:00:01.5 ", "     0.5 ", "1795508980.5 ", "( 0.004 ms): ", "cat/7 ", "minfault [a] => ", "@0x10 (d.)",
    "NULL, ", "0x1000, ", "4096, ", "PROT_READ", "|", "MAP_PRIVATE, ", "-1, ", "3</a>", "(deleted)", "21<<MAP_HUGE_SHIFT", "flags=", "len: ",
    "\"", "\"...", "\\", "\\x", "\\7", "/*", "*/", "<", ">", "(", ")", "[", "]", "{", "}", "=> {", ", ", " = ", "0", "?", "-1 EINVAL (x)", "<0.1>",
    " <unfinished ...>", "<... mmap resumed>", "<... clone3 resumed>", " <detached ...>", "strace: Process 7 attached", "--- SIGSEGV {si_addr=", "---",
    "+++ exited with 0 +++", "+++ superseded by execve in pid 2 +++", " ... [continued]: mmap())", "...", "\n", "\n", "\r\n", "\0", "é", "\u{1b}",
];

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        survive(&bytes);
    }

    #[test]
    fn any_pieces(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..80)) {
        survive(pieces.concat().as_bytes());
    }

    #[test]
    fn lines_of_a_log_cut_and_joined(cuts in proptest::collection::vec((0..LOG.len(), 0..200_usize), 1..20)) {
        let log = LOG.as_bytes();
        let mangled: Vec<u8> = cuts.iter().flat_map(|(at, len)| &log[*at..(at + len).min(log.len())]).copied().collect();
        survive(&mangled);
    }
}
