//! What is wrong is said, with its line.

use std::io::{self, BufReader, Read};

use ptelab_scenario::strace::{Cut, LogEvent, MAX_LINE, MAX_NAMES, PROBED, ReadError, Reader};

use super::{errors, lines, read};

fn messages(log: &[u8]) -> Vec<String> {
    errors(log).0.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_to_read() {
    for log in ["", "\n", "\r\n \n\n"] {
        assert_eq!(messages(log.as_bytes()), ["the log is empty"], "{log:?}");
    }
}

#[test]
fn what_is_no_log_is_told_from_its_first_lines() {
    let text = "\nDear diary,\n".to_owned() + &"today nothing (happened) = nothing\n".repeat(100);
    let (found, stats) = errors(text.as_bytes());
    let [ReadError::NotALog { line: 2, found, tried: PROBED }] = &found[..] else { panic!("{found:?}") };
    assert_eq!((found.as_str(), stats.lines), ("Dear diary,", PROBED + 1));

    assert_eq!(
        messages(b"#!/bin/sh\nmmap\n"),
        ["line 1: `#!/bin/sh` is not a line of strace: expected `NAME(ARGUMENTS) = RESULT`, as in \
          `munmap(0x7f89f0543000, 4096) = 0` (nor is any of the 2 lines tried)"]
    );
    let binary = messages(b"\x7fELF\x02\x01\0\0");
    assert_eq!(binary, ["line 1: this is not a line of strace; it is binary data"]);
    let long = messages(&vec![0; 3 * MAX_LINE]);
    assert_eq!(long, binary);
}

#[test]
fn a_log_may_begin_with_other_lines() {
    let text = "a program says\n".repeat(PROBED as usize - 1) + "brk(NULL) = 0x1000\n";
    let (entries, stats) = read(&text);
    assert_eq!((entries.len(), stats.unrecognised), (1, PROBED - 1));
    let (entries, _) = read(&format!("brk(NULL) = 0x1000\n{}", "a program says\n".repeat(100)));
    assert_eq!(entries.len(), 1);
}

#[test]
fn a_call_that_cannot_be_read_is_told_and_left() {
    let log = b"1 mmap(NULL, x8192, PROT_READ, MAP_PRIVATE, -1, 0) = 0x1000\n\
                1 mprotect(0x1000, 4096, PROT_RAED) = 0\n\
                1 madvise(0x1000, 4096, MADV_DONTNEED\n\
                1 munmap(0x1000) = 0\n\
                1 munmap(0x1000, 4096)\n\
                1 munmap(0x1000, 4096) = ok\n\
                1 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, x, 0) = 0x1000\n\
                1 brk(99999999999999999999) = 0\n\
                1 mmap(NULL, 1, 1, 1<<99, -1, 0) = 0\n\
                1 process_madvise(3, [1], 1, 1, 0) = 0\n\
                1 exit(99999999999) = ?\n\
                1 munmap(0x1000, 4096 <unfinished ...>\n\
                1 <... munmap resumed>) = ok\n\
                1 clone(child_stack=x, flags=SIGCHLD) = 2\n\
                1 clone3({flags=x}, 88) = 2\n\
                1 brk(NULL) = 0x1000\n";
    let expected = [
        "line 1: mmap: argument 2 (len): `x8192` is not a number",
        "line 2: mprotect: argument 3 (prot): `PROT_RAED` is not a protection",
        "line 3: madvise: the arguments have no closing parenthesis",
        "line 4: munmap: argument 2 (len): it is missing",
        "line 5: munmap: no result follows the arguments",
        "line 6: munmap: `ok` is not a result",
        "line 7: mmap: argument 5 (fd): `x` is not a descriptor",
        "line 8: brk: argument 1 (brk): `99999999999999999999` is not a number",
        "line 9: mmap: argument 4 (flags): `99` is not a shift",
        "line 10: process_madvise: argument 2 (vec): it has an element that is no iovec",
        "line 11: exit: argument 1 (error_code): `99999999999` is more than 32 bits",
        "line 12: munmap: `ok` is not a result",
        "line 14: clone: argument child_stack: `x` is not a number",
        "line 15: clone3: argument flags: `x` is not a clone flag",
    ];
    let (found, stats) = errors(log);
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    assert!(found.iter().all(ReadError::is_recoverable));
    assert_eq!((stats.mistakes, stats.calls), (14, 1));
    let ReadError::Call { text, .. } = &found[1] else { panic!("{found:?}") };
    assert_eq!(text, "mprotect(0x1000, 4096, PROT_RAED) = 0");
}

#[test]
fn lines_beyond_the_limit_are_skipped() {
    let call = |blanks| format!("munmap(0x1000, {}4096) = 0", " ".repeat(blanks));
    let longest = call(MAX_LINE - call(0).len());
    let (entries, stats) = read(&format!("{longest}\n{longest} \n{longest}\n"));
    assert_eq!(entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [1, 3]);
    assert_eq!((stats.too_long, stats.first_too_long), (1, Some(2)));
    let (_, stats) = read(&format!("brk(NULL) = 0\n{longest} "));
    assert_eq!((stats.too_long, stats.cut), (1, Some(Cut { line: 2, delivered: false })));
}

#[test]
fn a_log_may_end_in_the_middle_of_a_line() {
    let whole = "brk(NULL) = 0x1000\nmunmap(0x1000, 4096) = 0";
    let (entries, stats) = read(whole);
    assert_eq!((entries.len(), stats.cut), (2, Some(Cut { line: 2, delivered: true })));
    let (entries, stats) = read(&whole[..whole.len() - 1]);
    assert_eq!((entries.len(), stats.cut), (1, Some(Cut { line: 2, delivered: false })));
    assert_eq!((stats.mistakes, stats.calls), (0, 1));
}

#[test]
fn names_are_counted_up_to_a_limit() {
    let log = lines((0..2000).map(|number| format!("call{number}() = 0")));
    let (_, stats) = read(&log);
    assert_eq!((stats.skipped.len(), stats.skipped_other), (MAX_NAMES, 2000 - MAX_NAMES as u64));
}

/// An input that fails where it ends.
struct Failing(&'static [u8]);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the disk is gone")),
            read => Ok(read),
        }
    }
}

#[test]
fn an_input_that_fails_ends_the_log() {
    let mut reader = Reader::new(BufReader::new(Failing(b"brk(NULL) = 0x1000\nbrk(NU")));
    assert!(matches!(reader.next(), Some(Ok(entry)) if matches!(entry.kind, LogEvent::Call(_))));
    let error = reader.next().expect("an item").expect_err("an error");
    assert_eq!(error.to_string(), "line 2: the disk is gone");
    assert!(!error.is_recoverable());
    assert!(reader.next().is_none());
}
