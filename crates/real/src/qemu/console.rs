//! What a machine says on its console, and QEMU beside it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

/// How many of the last lines are kept.
const KEPT: usize = 24;
/// What stands in a line by which a kernel says that something is wrong with it.
const ALARMS: [&str; 10] = [
    "WARNING:",
    "BUG:",
    "BUG at",
    "Kernel panic",
    "KASAN",
    "Oops",
    "page_table_check",
    "Bad page",
    "bad page",
    "Bad rss-counter",
];

/// Lines that are kept of what a kernel says after such a line: where it stood, and who called it.
const OF_ALARM: usize = 16;

/// Lines as they come.
#[derive(Debug)]
pub(super) struct Console {
    lines: Receiver<String>,
    last: VecDeque<String>,
    alarms: Vec<String>,
    /// Lines that still belong to the last alarm.
    follow: usize,
    ended: bool,
}

impl Console {
    /// What comes out of these, until they end.
    pub(super) fn new(sources: [Box<dyn Read + Send>; 2]) -> Self {
        let (sender, lines) = channel();
        for source in sources {
            let sender: Sender<String> = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { lines, last: VecDeque::new(), alarms: Vec::new(), follow: 0, ended: false }
    }

    /// The next line, if one comes in time.
    pub(super) fn line(&mut self, within: Duration) -> Option<String> {
        let line = self.lines.recv_timeout(within);
        self.ended |= line == Err(RecvTimeoutError::Disconnected);
        let line = line.ok()?;
        self.keep(&line);
        Some(line)
    }

    /// Takes what was said meanwhile. Whether more can come.
    pub(super) fn lives(&mut self) -> bool {
        loop {
            match self.lines.try_recv() {
                Ok(line) => self.keep(&line),
                Err(TryRecvError::Empty) => return !self.ended,
                Err(TryRecvError::Disconnected) => {
                    self.ended = true;
                    return false;
                }
            }
        }
    }

    fn keep(&mut self, line: &str) {
        if line.is_empty() || is_of_registers(line) {
            return;
        }
        if ALARMS.iter().any(|alarm| line.contains(alarm)) {
            self.alarms.push(line.to_owned());
            self.follow = OF_ALARM;
        } else if self.follow > 0 {
            self.alarms.push(line.to_owned());
            self.follow -= 1;
        }
        self.last.push_back(line.to_owned());
        if self.last.len() > KEPT {
            self.last.pop_front();
        }
    }

    /// What was said last.
    pub(super) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    /// What the kernel said is wrong with it, since last asked.
    pub(super) fn take_alarms(&mut self) -> Vec<String> {
        self.lives();
        self.follow = 0;
        std::mem::take(&mut self.alarms)
    }
}

/// Whether a line is one of registers: there are many, and they say little.
fn is_of_registers(line: &str) -> bool {
    let said = line.trim_start().strip_prefix('[').and_then(|line| line.split_once("] "));
    let said = said.map_or(line, |(_, said)| said).trim_start();
    let Some((name, _)) = said.split_once(':') else { return false };
    let name = name.trim_end();
    let number = |prefix: char| name.strip_prefix(prefix).is_some_and(|n| n.parse::<u8>().is_ok());
    let of_x86 = name.len() == 3 && name.starts_with('R') && name != "RIP" || name == "FS" || name == "CR2";
    number('x') || number('R') || of_x86 || matches!(name, "sp" | "pstate" | "Hardware name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_registers_are_known() {
        for line in
            ["x29: ffff800080753c30 x28: ffff", "x8 : 0", "[    1.5] RAX: 0 RBX: 1", "sp : ffff", "R10: 1"]
        {
            assert!(is_of_registers(line), "{line}");
        }
        for line in
            ["Call trace:", "[    1.5] RIP: 0010:f+0x1", " page_table_check_set+0x11c (P)", "pc : f+0x1"]
        {
            assert!(!is_of_registers(line), "{line}");
        }
    }

    #[test]
    fn alarms_are_heard_and_the_last_lines_kept() {
        let text = "one\r\n[    1.0] WARNING: mm/mprotect.c:1 at f\n\n".to_owned() + &"x\n".repeat(40);
        let mut console = Console::new([Box::new(std::io::Cursor::new(text)), Box::new(std::io::empty())]);
        assert_eq!(console.line(Duration::from_secs(9)).as_deref(), Some("one"));
        while console.lives() {
            thread::sleep(Duration::from_millis(1));
        }
        let alarms = console.take_alarms();
        assert_eq!(
            (alarms[0].as_str(), alarms.len()),
            ("[    1.0] WARNING: mm/mprotect.c:1 at f", 1 + OF_ALARM)
        );
        assert_eq!((console.last().len(), console.take_alarms().len()), (KEPT, 0));
    }
}
