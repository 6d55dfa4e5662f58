//! A kernel image under QEMU, with scenarios played by the guest program (`guest/guest.c`).

mod console;
mod facts;
mod gdb;
mod guests;
mod image;
mod mailbox;
mod program;
#[expect(unsafe_code, reason = "Linux is called by its numbers")]
mod prompt;
#[expect(unsafe_code, reason = "the guest's memory is mapped here")]
mod ram;
mod roots;
mod setup;

pub use facts::{ImageFacts, OPTIONS};
pub use guests::{GUESTS, Guest};
pub use image::for_qemu;
pub use program::build as build_program;
pub use setup::{DISK, Setup, look_for_image};

use crate::command;
use crate::real::{Frame, Look, Looked, RealError, RealKernel, RealPage, Root, Translate, vmas};
use console::Console;
use gdb::Gdb;
use mailbox::Mailbox;
use ptelab_uapi::{Call, CallError, Errno, Outcome};
use ram::Ram;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, ChildStdin};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a kernel may take to come up, on a host that has other things to do.
const BOOT: Duration = Duration::from_secs(600);
/// How long the guest may be silent.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the CPU is left to others before an answer is looked for again.
const NAP: Duration = Duration::from_micros(30);
/// Newlines that wake the guest: with fewer, x86-64's serial line waits for more before it says that there are any.
const WAKING: usize = 16;
/// How long the guest stays in user mode where a scenario says that the kernel's scanner passes over its memory, in ms.
const SCAN: u64 = 8000;
/// Pages that are asked for at once, so that the answer fits.
const PAGES: u64 = 2048;
/// The part of memory below which what is free in pieces of a huge page makes a machine worn out.
const WORN_OUT: u64 = 8;
const GUEST: &str = "the guest program";

/// A machine under QEMU, ended when dropped.
#[derive(Debug)]
pub struct Qemu {
    setup: Setup,
    child: Child,
    wake: ChildStdin,
    console: Console,
    ram: Ram,
    mailbox: Mailbox,
    gdb: Option<Gdb>,
    socket: PathBuf,
    _folder: TempDir,
    facts: ImageFacts,
    /// Processes that live, and the numbers in their markers.
    players: BTreeMap<u32, u64>,
    /// The last number that a process got.
    number: u64,
    /// The topmost tables of processes, once they were looked for.
    roots: BTreeMap<u32, Root>,
    /// Topmost tables of any process: the kernel takes the same frames again.
    known_roots: BTreeSet<Root>,
    /// Where the table of all address spaces is, once it was looked for.
    process_table: Option<u64>,
    /// Number of the next child.
    next: u32,
    /// Bytes that were free in pieces of a huge page when the last scenario began.
    free: u64,
    /// Whether a scenario left something that no other may meet.
    spoiled: bool,
}

impl Qemu {
    /// Boots the machine.
    ///
    /// # Errors
    /// Where QEMU, the image or what the guest program takes is missing, in a sentence that says where it is had; where the
    /// kernel does not come up.
    pub fn boot(setup: &Setup) -> Result<Self, RealError> {
        let guest = setup.guest;
        look_for_image(&setup.image)?;
        let folder = TempDir::new().map_err(RealError::io("a folder for QEMU's socket"))?;
        let initramfs = setup.initramfs(folder.path())?;
        let ram = Ram::new(guest.ram, setup.memory, setup.nodes)?;
        let socket = folder.path().join("gdb");
        let mut child =
            setup.command(&ram, [&setup.kernel, &initramfs, &socket]).spawn().map_err(|error| match error
                .kind()
            {
                io::ErrorKind::NotFound => {
                    let Guest { qemu, qemu_package, .. } = guest;
                    RealError::Missing(format!("{qemu} is not installed (Debian: {qemu_package})"))
                }
                _ => RealError::io(guest.qemu)(error),
            })?;
        let (Some(wake), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(RealError::Missing("QEMU has no console".to_owned()));
        };
        let mut console = Console::new([Box::new(output), Box::new(errors)]);
        let mut child = Ended(Some(child));
        let mailbox = find_mailbox(&mut console, &ram, setup)?;
        let mut qemu = Self {
            setup: setup.clone(),
            child: child.0.take().ok_or(RealError::Died(0))?,
            wake,
            console,
            ram,
            mailbox,
            gdb: None,
            socket,
            _folder: folder,
            facts: ImageFacts::default(),
            players: BTreeMap::new(),
            number: 0,
            roots: BTreeMap::new(),
            known_roots: BTreeSet::new(),
            process_table: None,
            next: 2,
            free: u64::MAX,
            spoiled: false,
        };
        qemu.facts = ImageFacts::read(&qemu.ask("facts")?.text);
        Ok(qemu)
    }

    /// What the kernel is and was built with.
    pub const fn facts(&self) -> &ImageFacts {
        &self.facts
    }

    /// The topmost table of a process, where it is known without asking the kernel.
    pub fn known_root(&self, pid: u32) -> Option<Root> {
        self.roots.get(&pid).copied()
    }

    /// What the kernel said is wrong with it, since last asked.
    pub fn take_alarms(&mut self) -> Vec<String> {
        self.console.take_alarms()
    }

    /// Whether only a new boot gives scenarios what a fresh kernel would: memory in large pieces has become scarce, or a scenario
    /// has changed what none can put back.
    pub const fn is_worn_out(&self) -> bool {
        self.spoiled || self.free < self.setup.memory / WORN_OUT
    }

    /// Ends all processes, puts the settings to where a scenario starts, and starts process 1.
    ///
    /// # Errors
    /// Where the guest does not answer.
    pub fn restart(&mut self) -> Result<(), RealError> {
        self.number += 1;
        let answer = self.ask(&format!("start {:x}", self.number))?;
        self.free = answer.text.trim().parse().unwrap_or(0);
        self.players = BTreeMap::from([(1, self.number)]);
        self.roots.clear();
        self.next = 2;
        Ok(())
    }

    /// Nanoseconds that the last call of a process took: instructions, where time is counted in them.
    ///
    /// # Errors
    /// Where the guest does not answer.
    pub fn ticks(&mut self, pid: u32) -> Result<u64, RealError> {
        match self.ask(&format!("{pid} ticks"))?.reply {
            Outcome::Value(ticks) => Ok(ticks),
            _ => Err(RealError::Died(pid)),
        }
    }

    /// Sends a line and waits for the answer.
    fn ask(&mut self, line: &str) -> Result<Answer, RealError> {
        let answers = self.ask_all(&[(line.to_owned(), 0)])?;
        answers.into_iter().next().ok_or_else(|| nonsense("nothing"))
    }

    /// Sends lines, each with the number of pages that it asks for, and waits for the answers: as many at once as fit.
    fn ask_all(&mut self, lines: &[(String, u64)]) -> Result<Vec<Answer>, RealError> {
        let mut answers = Vec::with_capacity(lines.len());
        while answers.len() < lines.len() {
            let (mut asked, mut pages) = (String::new(), 0);
            for (line, more) in &lines[answers.len()..] {
                if !asked.is_empty() && (asked.len() + line.len() >= mailbox::MOST || pages + more > PAGES) {
                    break;
                }
                asked.push_str(line);
                asked.push('\n');
                pages += more;
            }
            if asked.len() > mailbox::MOST {
                return Err(nonsense(&asked));
            }
            self.mailbox.ask(&self.ram, &asked).ok_or_else(|| nonsense("nothing"))?;
            let said = self.wait(&asked)?;
            answers.extend(Answer::read_all(&String::from_utf8_lossy(&said))?);
        }
        Ok(answers)
    }

    /// Waits for the answers, and lets the guest have the CPU meanwhile.
    fn wait(&mut self, asked: &str) -> Result<Vec<u8>, RealError> {
        prompt::be_prompt();
        let begun = Instant::now();
        let mut woken = false;
        loop {
            if let Some(answers) = self.mailbox.answers(&self.ram) {
                return Ok(answers);
            }
            if self.setup.stopped() {
                return Err(RealError::Stopped);
            }
            if !self.console.lives() || begun.elapsed() > PATIENCE {
                return Err(self.gone(asked));
            }
            if !woken && self.mailbox.guest_sleeps(&self.ram) {
                self.wake.write_all(&[b'\n'; WAKING]).map_err(|_| self.gone(asked))?;
                woken = true;
            }
            thread::sleep(NAP);
        }
    }

    /// The machine does not answer: why, as far as its console says it.
    fn gone(&mut self, asked: &str) -> RealError {
        self.console.lives();
        RealError::Gone { asked: asked.trim_end().to_owned(), console: self.console.last() }
    }
}

/// A process that ends when this is dropped, unless it was taken out.
struct Ended(Option<Child>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.as_mut().map(end);
    }
}

fn end(child: &mut Child) {
    // Where it has gone already, there is nothing left to do.
    let _ = child.kill();
    let _ = child.wait();
}

/// Waits until the guest program says where its mailbox is.
fn find_mailbox(console: &mut Console, ram: &Ram, setup: &Setup) -> Result<Mailbox, RealError> {
    let guest = setup.guest;
    let begun = Instant::now();
    while begun.elapsed() < BOOT {
        if setup.stopped() {
            return Err(RealError::Stopped);
        }
        let Some(line) = console.line(Duration::from_millis(200)) else {
            if console.lives() {
                continue;
            }
            break;
        };
        if let Some((_, why)) = line.split_once("@? ") {
            return Err(nonsense(why));
        }
        if let Some((_, page)) = line.split_once("@page ") {
            return Err(setup.other_pages(page.parse().unwrap_or(0)));
        }
        let mailbox = line.split_once("@box ").and_then(|(_, place)| {
            let (frame, marker) = place.split_once(' ')?;
            let hex = |digits| u64::from_str_radix(digits, 16).ok();
            Mailbox::find(ram, guest, hex(frame)?, hex(marker)?)
        });
        if let Some(mailbox) = mailbox {
            return Ok(mailbox);
        }
    }
    let gone = RealError::Gone { asked: "boot".to_owned(), console: console.last() };
    Err(setup.too_old(&gone).unwrap_or(gone))
}

/// What the guest says to a line.
#[derive(Debug)]
struct Answer {
    text: String,
    reply: Outcome,
}

impl Answer {
    fn read_all(said: &str) -> Result<Vec<Self>, RealError> {
        let (mut answers, mut text) = (Vec::new(), String::new());
        for line in said.lines() {
            let Some(line) = line.strip_prefix('@') else { return Err(nonsense(line)) };
            if let Some(more) = line.strip_prefix('|') {
                // A space at the end of a line of smaps stands for no name.
                text.push_str(more.strip_prefix(' ').unwrap_or(more));
                text.push('\n');
            } else {
                let reply = command::reply(line).ok_or_else(|| nonsense(line))?;
                answers.push(Self { text: std::mem::take(&mut text), reply });
            }
        }
        // An answer that did not fit has no end.
        if answers.is_empty() || !text.is_empty() { Err(nonsense(said)) } else { Ok(answers) }
    }
}

/// `BITS COUNT [FRAME HEAD PAGES MAPPED]` in hex: pages that are alike, of frames that follow each other.
fn pages_alike(line: &str) -> Option<impl Iterator<Item = RealPage>> {
    let numbers: Vec<u64> = line
        .split_ascii_whitespace()
        .map(|word| u64::from_str_radix(word, 16))
        .collect::<Result<_, _>>()
        .ok()?;
    let (bits, count, frame) = match *numbers.as_slice() {
        [bits, count] => (bits, count, None),
        [bits, count, pfn, head, pages, mapped] => {
            let frame = Frame { pfn, head, folio_pages: pages as u32, mapcount: mapped as u32 };
            (bits, count, Some(frame))
        }
        _ => return None,
    };
    let page = move |i| RealPage {
        pagemap: bits as u16,
        frame: frame.map(|first: Frame| Frame { pfn: first.pfn + i, ..first }),
    };
    Some((0..count).map(page))
}

fn nonsense(said: &str) -> RealError {
    RealError::Nonsense { from: GUEST, said: said.to_owned() }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Qemu {
    /// What the guest is asked for where a call is to be made, or what comes of it where the guest is not asked.
    fn line(&mut self, pid: u32, call: &Call) -> Result<String, Outcome> {
        match call {
            Call::Fork {} => {
                self.number += 1;
                Ok(format!("{pid} fork {:x} {:x}", self.next, self.number))
            }
            Call::Thp { size, mode } => Ok(format!("thp {} {}", size.file(), mode.name())),
            Call::ClearRefs { what } => Ok(format!("clear_refs {pid} {what}")),
            Call::NumaScan { .. } => Ok(format!("{pid} wait {SCAN:x}")),
            Call::MigrateBegin { .. }
            | Call::Numa { .. }
            | Call::Page { .. }
            | Call::Time { .. }
            | Call::Dump { .. } => Err(Outcome::Value(0)),
            call => match command::line(&call.placed()) {
                Some(line) => Ok(format!("{pid} {line}")),
                None => Err(Outcome::Failed(CallError::Errno(Errno::ENOSYS))),
            },
        }
    }

    /// Pages of a range that are asked for one after the other, so that answers fit: the first one's index, and how many.
    fn parts(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, u64)> + use<> {
        let page = self.setup.guest.page();
        let (index, count) = (range.start / page, (range.end - range.start).div_ceil(page));
        (0..count).step_by(PAGES as usize).map(move |done| (index + done, PAGES.min(count - done)))
    }

    /// What is to be known of a call's result before the next one.
    fn heed(&mut self, pid: u32, call: &Call, outcome: Outcome) {
        match (call, outcome) {
            (Call::Fork {}, Outcome::Value(_)) => {
                self.players.insert(self.next, self.number);
                self.next += 1;
            }
            (Call::ExitGroup { .. }, _) => {
                self.players.remove(&pid);
            }
            // The zero page is marked as failed now, and stays so until the next boot.
            (Call::Hwpoison { .. }, Outcome::Failed(CallError::Errno(Errno::EBUSY))) => self.spoiled = true,
            _ => {}
        }
    }
}

impl RealKernel for Qemu {
    fn play(
        &mut self,
        calls: &[(u32, &Call)],
        looks: &[Look],
    ) -> Result<(Vec<Outcome>, Vec<Looked>), RealError> {
        let lines = calls.iter().map(|(pid, call)| self.line(*pid, call)).collect::<Vec<_>>();
        let mut asked: Vec<(String, u64)> = lines.iter().flatten().map(|line| (line.clone(), 0)).collect();
        for (n, Look { pid, pages, area }) in looks.iter().enumerate() {
            if !is_same_area(looks, n) {
                asked.push((format!("smaps {pid} {:x} {:x}", area.start, area.end), 0));
            }
            asked.extend(
                self.parts(pages).map(|(index, count)| (format!("pages {pid} {index:x} {count:x}"), count)),
            );
        }
        let mut answers = self.ask_all(&asked)?.into_iter();
        let mut next = || answers.next().ok_or_else(|| nonsense("too little"));
        let mut outcomes = Vec::with_capacity(calls.len());
        for ((pid, call), line) in calls.iter().zip(&lines) {
            let outcome = match line {
                Ok(_) => next()?.reply,
                Err(known) => *known,
            };
            self.heed(*pid, call, outcome);
            outcomes.push(outcome);
        }
        let mut seen: Vec<Looked> = Vec::with_capacity(looks.len());
        for (n, look) in looks.iter().enumerate() {
            let vmas = if is_same_area(looks, n) { seen[n - 1].vmas.clone() } else { vmas(&next()?.text)? };
            let mut pages = Vec::new();
            for _ in self.parts(&look.pages) {
                for line in next()?.text.lines() {
                    pages.extend(pages_alike(line).ok_or_else(|| nonsense(line))?);
                }
            }
            seen.push(Looked { vmas, pages });
        }
        Ok((outcomes, seen))
    }

    fn lives(&self, pid: u32) -> bool {
        self.players.contains_key(&pid)
    }

    fn root(&mut self, pid: u32, translate: &Translate<'_>) -> Result<Option<Root>, RealError> {
        if let Some(root) = self.roots.get(&pid) {
            return Ok(Some(*root));
        }
        let number = *self.players.get(&pid).ok_or(RealError::Died(pid))?;
        let root = self.find_root(pid, number, translate)?;
        self.known_roots.insert(root);
        self.roots.insert(pid, root);
        Ok(Some(root))
    }

    fn forget_root(&mut self, pid: u32) {
        if let Some(root) = self.roots.remove(&pid) {
            self.known_roots.remove(&root);
        }
    }

    fn entry(&self, addr: u64) -> Option<u64> {
        let [_, order] = self.setup.guest.orders;
        self.ram.word(addr).map(|word| order.word(word))
    }

    fn byte(&self, addr: u64) -> Option<u8> {
        self.ram.word(addr & !7).map(|word| word.to_ne_bytes()[(addr & 7) as usize])
    }
}

/// Whether a look is at VMAs that the look before was at.
fn is_same_area(looks: &[Look], n: usize) -> bool {
    n > 0 && (looks[n - 1].pid, &looks[n - 1].area) == (looks[n].pid, &looks[n].area)
}
