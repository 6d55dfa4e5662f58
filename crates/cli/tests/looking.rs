//! The commands for people who look: report, explain, timeline, step, and the manual.

#![cfg(unix)]

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

fn ptelab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ptelab")).args(args).output().expect("the program runs")
}

fn scenario() -> String {
    let path = "../../fixtures/scenarios/t2-two-megabytes.scn";
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

fn out(name: &str) -> String {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name).display().to_string()
}

fn refused(args: &[&str], words: &[&str]) {
    let output = ptelab(args);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    for word in words {
        assert!(message.contains(word), "{args:?}: no `{word}` in: {message}");
    }
}

#[test]
fn reports_are_written_or_it_is_said_why_not() {
    let page = out("report.html");
    let output = ptelab(&["report", &scenario(), "-o", &page, "--arch", "arm64", "--kernel", "6.17"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(std::fs::read_to_string(&page).expect("a page").trim_end().ends_with("</html>"));

    refused(
        &["report", &scenario(), "-o", "/nowhere/at/all.html"],
        &["/nowhere/at/all.html", "No such file"],
    );
    refused(&["report", "/nowhere/at/all.scn", "-o", &page], &["/nowhere/at/all.scn"]);
    let empty = out("empty.scn");
    std::fs::write(&empty, "# nothing\n").expect("the folder for tests can be written");
    refused(&["report", &empty, "-o", &page], &["the file contains no calls"]);
    std::fs::write(&empty, "mumap(1, 2)\n").expect("the folder for tests can be written");
    refused(&["explain", &empty, "--at", "1", "--va", "0x1000"], &["mumap", "munmap"]);
}

#[test]
fn entries_are_explained() {
    let output = ptelab(&["explain", &scenario(), "--at", "4", "--va", "0x40009123", "--kernel", "6.17"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("a batch of 16 from 0x40000000: entry 9 of it"), "{text}");
    assert!(text.contains("mm/mprotect.c:change_pte_range, Linux 6.17"), "{text}");
    refused(&["explain", &scenario(), "--at", "9", "--va", "0x40009000"], &["no call 9", "the last is 8"]);
    refused(&["explain", &scenario(), "--at", "1", "--va", "here"], &["not an address"]);
    let told = |more: &[&str], says: &str| {
        let output = ptelab(&[&["explain", &scenario(), "--at", "4", "--kernel", "6.17"], more].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(says), "{text}");
    };
    told(&["--va", "0x50000000"], "Nothing is mapped there.");
    refused(
        &["explain", &scenario(), "--at", "4", "--va", "0x40009000", "--pid", "7"],
        &["there is no process 7 by then"],
    );
}

#[test]
fn timelines_are_json_and_counters_csv() {
    let (json, csv) = (out("timeline.json"), out("timeline.csv"));
    let output = ptelab(&["timeline", &scenario(), "-o", &json, "--csv", &csv, "--kernel", "6.17"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let timeline: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(json).expect("a timeline")).expect("JSON");
    let events = timeline["traceEvents"].as_array().expect("events");
    let batches = events.iter().filter(|event| event["name"] == "batch of 16").count();
    assert_eq!(batches, 2 * 2 * 32, "two machines, two calls, 32 batches");
    let csv = std::fs::read_to_string(csv).expect("a table");
    assert_eq!(csv.lines().count(), 1 + 2 * 8, "a head, and a line for every call on both machines");
}

#[test]
fn shells_and_man_get_theirs() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = ptelab(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains("explain"), "{shell}");
    }
    let page = ptelab(&["man"]);
    assert!(String::from_utf8_lossy(&page.stdout).contains("timeline"));
}

#[test]
fn every_command_shows_an_example() {
    let commands = [
        "run",
        "compare",
        "verify",
        "replay",
        "cost",
        "bench",
        "check",
        "fuzz",
        "report",
        "explain",
        "timeline",
        "step",
        "completions",
        "man",
    ];
    for command in commands {
        let output = ptelab(&[command, "--help"]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("Example") && text.contains(&format!("ptelab {command} ")), "{command}");
    }
}

/// The program in a terminal of its own.
struct Terminal {
    child: Child,
    keys: File,
    shown: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// Everything that was shown, as it came.
    raw: String,
}

/// Leaves the alternate screen, as a terminal is told.
const RESTORED: &str = "\x1b[?1049l";

impl Terminal {
    fn open(rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it opens");
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let path = name.to_str().expect("a path").to_owned();
        let end = || OpenOptions::new().read(true).write(true).open(&path).expect("the other end opens");
        let slave = end();
        tcsetwinsize(&slave, size).expect("it has a size");
        let child = Command::new(env!("CARGO_BIN_EXE_ptelab"))
            .args(["step", &scenario(), "--arch", "arm64", "--kernel", "6.16,6.17"])
            .env("TERM", "xterm-256color")
            .stdin(slave.try_clone().expect("a copy"))
            .stdout(slave.try_clone().expect("a copy"))
            .stderr(slave)
            .process_group(0)
            .spawn()
            .expect("the program runs");
        let keys = File::from(master);
        let mut screen = keys.try_clone().expect("a copy");
        let (send, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = screen.read(&mut buffer) {
                if send.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let lines = |n: u16| n.try_into().expect("a size that is not zero");
        let screen = vt100::Parser::new(lines(rows), lines(columns), 0);
        Self { child, keys, shown, screen, raw: String::new() }
    }

    /// Waits for a text on the screen.
    fn wait_for(&mut self, wanted: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.screen.screen().contents().contains(wanted) {
            assert!(Instant::now() < end, "no `{wanted}` in:\n{}", self.screen.screen().contents());
            self.look();
        }
    }

    /// Takes in what has been shown since.
    fn look(&mut self) {
        if let Ok(bytes) = self.shown.recv_timeout(Duration::from_millis(100)) {
            self.screen.process(&bytes);
            self.raw.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("keys are taken");
    }

    /// Waits for the end; the terminal must have been restored.
    fn ends_with(mut self, status: i32) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.raw.contains(RESTORED) {
            assert!(Instant::now() < end, "the terminal is not restored: {:?}", self.raw);
            self.look();
        }
        assert_eq!(self.child.wait().expect("it ends").code(), Some(status));
    }
}

#[test]
fn a_terminal_shows_the_map_and_is_restored() {
    let mut terminal = Terminal::open(24, 80);
    terminal.wait_for("q quit");
    terminal.wait_for("call 2 of 8");
    terminal.press("?");
    terminal.wait_for("contiguous block");
    terminal.press(" g4\r");
    terminal.wait_for("unfolds: 32");
    terminal.press("]]]]");
    terminal.wait_for("flush requests");
    terminal.press("\t[[[[");
    terminal.wait_for("batches: 32");
    terminal.wait_for("why: mprotect_batch");
    terminal.press("/40009000\r");
    terminal.wait_for("page 9 of a folio of 16");
    terminal.wait_for("why Present entries of one folio change in one transaction");
    terminal.press("/90000000\r");
    terminal.wait_for("no VMA");
    terminal.press("g99\r");
    terminal.wait_for("no call 99: the last is 8");
    terminal.press("\x1b");
    terminal.wait_for("Quit?");
    terminal.press("n");
    terminal.wait_for("q quit");
    terminal.press("q");
    terminal.ends_with(0);
}

#[test]
fn a_wide_terminal_shows_two_machines() {
    let mut terminal = Terminal::open(30, 120);
    terminal.wait_for("machine 1 of 2");
    terminal.wait_for("machine 2 of 2");
    terminal.press("g4\r");
    terminal.wait_for("unfolds: 32");
    terminal.wait_for("batches: 32");
    terminal.press("q");
    terminal.ends_with(0);
}

#[test]
fn every_end_restores_the_terminal() {
    let mut terminal = Terminal::open(6, 20);
    terminal.wait_for("arm64");
    terminal.press("\x03");
    terminal.ends_with(130);

    let mut terminal = Terminal::open(24, 80);
    terminal.wait_for("q quit");
    let pid = rustix::process::Pid::from_child(&terminal.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
    terminal.ends_with(130);
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_z_gives_the_terminal_to_the_shell() {
    let mut terminal = Terminal::open(24, 80);
    terminal.wait_for("q quit");
    terminal.press("\x1a");
    let pid = rustix::process::Pid::from_child(&terminal.child);
    let is_stopped = || {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).expect("it is there");
        stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"))
    };
    let end = Instant::now() + Duration::from_secs(60);
    while !(terminal.raw.contains(RESTORED) && is_stopped()) {
        assert!(Instant::now() < end, "it does not stop: {:?}", terminal.raw);
        terminal.look();
    }
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("it is there");
    terminal.wait_for("q quit");
    terminal.press("g4\r");
    terminal.wait_for("unfolds: 32");
    terminal.raw.clear();
    terminal.press("q");
    terminal.ends_with(0);
}

#[test]
fn without_a_terminal_it_says_so() {
    refused(&["step", &scenario()], &["step needs a terminal"]);
}
