//! Logs of real programs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use ptelab_scenario::strace::{LogEntry, LogEvent, LoggedOutcome, Reader, Stats, Syscall, open};
use ptelab_uapi::Advice;

use super::lines;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/strace").join(format!("{name}.strace"))
}

fn log(name: &str) -> (Vec<LogEntry>, Stats) {
    let mut reader = Reader::new(open(path(name)).expect("a file of the project"));
    let entries =
        reader.by_ref().map(|item| item.unwrap_or_else(|error| panic!("{name}: {error}"))).collect();
    (entries, reader.into_stats())
}

const NAMES: [&str; 6] = ["bash-pipe", "cat", "node-jit", "python-thp", "rust-bin", "rustc"];

/// Counted with other tools.
#[rustfmt::skip]
const COUNTS: [&[(&str, usize)]; 6] = [
    &[("brk", 12), ("clone", 6), ("execve", 6), ("exit_group", 7), ("mmap", 100), ("mprotect", 21), ("munmap", 6), ("openat", 1)],
    &[("brk", 3), ("execve", 1), ("exit_group", 1), ("mmap", 22), ("mprotect", 3), ("munmap", 2), ("openat", 1)],
    &[("brk", 23), ("clone3", 6), ("execve", 1), ("exit", 5), ("exit_group", 1), ("madvise", 45), ("mmap", 69), ("mprotect", 71), ("munmap", 57), ("openat", 4)],
    &[("brk", 18), ("clone", 1), ("execve", 1), ("exit_group", 2), ("madvise", 1), ("mmap", 97), ("mprotect", 154), ("munmap", 8), ("openat", 1)],
    &[("brk", 3), ("execve", 1), ("exit_group", 1), ("mmap", 14), ("mprotect", 5), ("munmap", 3), ("openat", 2)],
    &[("brk", 11), ("clone3", 3), ("execve", 2), ("exit_group", 1), ("madvise", 2), ("mmap", 95), ("mprotect", 31), ("munmap", 13)],
];

/// Signals, ends of processes and processes.
const OTHERS: [(u64, u64, usize); 6] = [(5, 7, 7), (0, 1, 1), (0, 7, 7), (1, 2, 2), (0, 1, 1), (0, 4, 4)];

#[test]
fn every_call_of_every_log_is_read() {
    for ((name, counts), others) in NAMES.iter().zip(COUNTS).zip(OTHERS) {
        let (entries, stats) = log(name);
        let mut found = BTreeMap::new();
        for entry in &entries {
            if let LogEvent::Call(call) = &entry.kind {
                *found.entry(call.name).or_insert(0_usize) += 1;
            }
        }
        assert_eq!(found.into_iter().collect::<Vec<_>>(), counts, "{name}");
        let pids: std::collections::BTreeSet<_> = entries.iter().map(|entry| entry.pid).collect();
        assert_eq!((stats.signals, stats.ends, pids.len()), others, "{name}");
        assert_eq!(
            (stats.unrecognised, stats.orphans, stats.unfinished_count, stats.cut),
            (0, 0, 0, None),
            "{name}"
        );
    }
}

#[test]
fn the_logs_say_what_their_programs_did() {
    let (bash, stats) = log("bash-pipe");
    let children = bash.iter().filter_map(|entry| match &entry.kind {
        LogEvent::Call(call) if call.name == "clone" => Some(call.outcome.clone()),
        _ => None,
    });
    assert_eq!(children.collect::<Vec<_>>(), (10_995..=11_000).map(LoggedOutcome::Value).collect::<Vec<_>>());
    assert_eq!(stats.skipped["wait4"], 11);

    let (rustc, _) = log("rustc");
    let resumed: Vec<_> = rustc
        .iter()
        .filter(|entry| entry.line != entry.end_line)
        .map(|entry| (entry.line, entry.end_line))
        .collect();
    assert_eq!(resumed, [(50, 53), (52, 54), (56, 58), (57, 59), (74, 77)]);

    let (python, _) = log("python-thp");
    let huge = python.iter().find_map(|entry| match &entry.kind {
        LogEvent::Call(call) if call.name == "madvise" => Some((entry.line, call.call.clone())),
        _ => None,
    });
    assert_eq!(
        huge,
        Some((144, Syscall::Madvise { addr: 0x7f0b_d440_0000, len: 64 << 20, advice: Advice::HUGEPAGE }))
    );
}

#[test]
fn line_ends_do_not_matter() {
    for name in NAMES {
        let crlf = fs::read_to_string(path(name)).expect("a text").replace('\n', "\r\n");
        let entries: Vec<_> = Reader::new(crlf.as_bytes()).map(|item| item.expect("an entry")).collect();
        assert_eq!(entries, log(name).0, "{name}");
    }
}

#[test]
fn packed_logs_read_like_plain_ones() {
    let plain = fs::read(path("node-jit")).expect("a file");
    let (first, second) = plain.split_at(plain.len() / 2);
    let directory = std::env::temp_dir().join(format!("ptelab-strace-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join("log");
    let mut packed = Vec::new();
    for part in [first, second] {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(part).expect("memory");
        packed.extend(encoder.finish().expect("memory"));
    }
    let read = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("a file");
        let mut reader = Reader::new(open(&file).expect("a file"));
        let items: Vec<_> = reader.by_ref().collect();
        (items, reader.into_stats())
    };

    let (items, stats) = read(&packed);
    let entries: Vec<_> = items.into_iter().map(|item| item.expect("an entry")).collect();
    assert_eq!((entries, stats), log("node-jit"));

    let (items, stats) = read(&packed[..packed.len() - 40]);
    assert!(items.iter().all(Result::is_ok), "what there is, is read");
    assert!(stats.cut.is_some_and(|cut| cut.line > 200), "{stats:?}");

    packed[plain.len() / 20] ^= 0xff;
    let (items, _) = read(&packed);
    let error = items.last().and_then(|item| item.as_ref().err()).expect("it is damaged");
    assert!(!error.is_recoverable(), "{error}");

    let (items, stats) = read(&plain[..1]);
    assert_eq!((items.len(), stats.lines), (1, 1));
    fs::remove_dir_all(&directory).expect("the directory");
    assert!(open(&file).is_err());
}

#[test]
fn processes_in_brackets_read_like_a_column() {
    for name in NAMES {
        let text = fs::read_to_string(path(name)).expect("a text");
        let parts = text.lines().filter_map(|line| line.split_once(' '));
        let bracketed = lines(parts.map(|(pid, rest)| format!("[pid {pid}] {rest}")));
        let entries: Vec<_> =
            Reader::new(Cursor::new(bracketed)).map(|item| item.expect("an entry")).collect();
        assert_eq!(entries, log(name).0, "{name}");
    }
}
