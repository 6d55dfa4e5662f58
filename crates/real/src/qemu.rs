//! A kernel image under QEMU, with scenarios played by the guest program (`guest/guest.c`).

mod console;
mod facts;
mod gdb;
mod guests;
mod mailbox;
mod program;
#[expect(unsafe_code, reason = "the guest's memory is mapped here")]
mod ram;
mod setup;

pub use facts::{ImageFacts, OPTIONS};
pub use guests::{GUESTS, Guest};
pub use program::build as build_program;
pub use setup::{DISK, Setup, look_for_image};

use crate::command;
use crate::real::{Frame, RealError, RealKernel, RealPage, WordFile};
use console::Console;
use gdb::Gdb;
use mailbox::Mailbox;
use ptelab_uapi::{Call, CallError, Errno, Outcome};
use ram::Ram;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a kernel may take to come up.
const BOOT: Duration = Duration::from_secs(180);
/// How long the guest may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often an answer is looked for before somebody else gets the CPU.
const LOOKS: u32 = 200;
/// How often the machine is stopped until it is found in the process whose tables are wanted.
const STOPS: u32 = 2000;
/// How long the guest stays in user mode where a scenario says that the kernel's scanner passes over its memory, in ms.
const SCAN: u64 = 8000;
/// Words of a file that are asked for at once, so that the answer fits.
const WORDS: u64 = 4096;
/// Pages that are asked for at once, so that the answer fits.
const PAGES: u64 = 2048;
/// Free pieces of 2M below which a machine is worn out.
const WORN_OUT: u64 = 32;
const GUEST: &str = "the guest program";

/// A machine under QEMU, ended when dropped.
#[derive(Debug)]
pub struct Qemu {
    guest: &'static Guest,
    child: Child,
    wake: ChildStdin,
    console: Console,
    ram: Ram,
    mailbox: Mailbox,
    gdb: Option<Gdb>,
    socket: PathBuf,
    _folder: TempDir,
    facts: ImageFacts,
    players: BTreeSet<u32>,
    /// The topmost tables of processes, once they were looked for.
    roots: BTreeMap<u32, u64>,
    /// What smaps said of a process since the last call.
    smaps: Option<(u32, String)>,
    /// Number of the next child.
    next: u32,
    /// Pieces of 2M that were free when the last scenario began.
    free: u64,
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
            setup.command(&ram, &initramfs, &socket).spawn().map_err(|error| match error.kind() {
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
        let mailbox = find_mailbox(&mut console, &ram)?;
        let mut qemu = Self {
            guest,
            child: child.0.take().ok_or(RealError::Died(0))?,
            wake,
            console,
            ram,
            mailbox,
            gdb: None,
            socket,
            _folder: folder,
            facts: ImageFacts::default(),
            players: BTreeSet::new(),
            roots: BTreeMap::new(),
            smaps: None,
            next: 2,
            free: u64::MAX,
        };
        qemu.facts = ImageFacts::read(&qemu.ask("facts")?.text);
        Ok(qemu)
    }

    /// What the kernel is and was built with.
    pub const fn facts(&self) -> &ImageFacts {
        &self.facts
    }

    /// The topmost table of a process, where it is known without asking the kernel.
    pub fn known_root(&self, pid: u32) -> Option<u64> {
        self.roots.get(&pid).copied()
    }

    /// What the kernel said is wrong with it, since last asked.
    pub fn take_alarms(&mut self) -> Vec<String> {
        self.console.take_alarms()
    }

    /// Whether memory in large pieces has become so scarce that only a new boot gives scenarios what a fresh kernel would.
    pub const fn is_worn_out(&self) -> bool {
        self.free < WORN_OUT
    }

    /// Ends all processes, puts the settings to where a scenario starts, and starts process 1.
    ///
    /// # Errors
    /// Where the guest does not answer.
    pub fn restart(&mut self) -> Result<(), RealError> {
        let answer = self.ask("start")?;
        self.free = answer.text.trim().parse().unwrap_or(0);
        self.players = BTreeSet::from([1]);
        self.roots.clear();
        self.smaps = None;
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
        if line.len() > mailbox::MOST {
            return Err(nonsense(line));
        }
        self.mailbox.ask(&self.ram, line).ok_or_else(|| nonsense("nothing"))?;
        let answers = self.wait(line)?;
        Answer::read(&String::from_utf8_lossy(&answers))
    }

    fn wait(&mut self, line: &str) -> Result<Vec<u8>, RealError> {
        let begun = Instant::now();
        let mut looks = 0;
        loop {
            if let Some(answers) = self.mailbox.answers(&self.ram) {
                return Ok(answers);
            }
            looks += 1;
            match looks {
                0..LOOKS => thread::yield_now(),
                _ if self.console.lives() && begun.elapsed() < PATIENCE => {
                    // It may have gone to sleep just before it was asked, so this is looked at again and again.
                    if self.mailbox.guest_sleeps(&self.ram) {
                        self.wake.write_all(b"\n").map_err(|_| self.gone(line))?;
                    }
                    thread::sleep(Duration::from_micros(u64::from(looks - LOOKS).clamp(10, 500)));
                }
                _ => return Err(self.gone(line)),
            }
        }
    }

    /// The machine does not answer: why, as far as its console says it.
    fn gone(&mut self, line: &str) -> RealError {
        self.console.lives();
        RealError::Gone { asked: line.to_owned(), console: self.console.last() }
    }

    fn fork(&mut self, parent: u32) -> Result<Outcome, RealError> {
        let number = self.next;
        let reply = self.ask(&format!("{parent} fork {number:x}"))?.reply;
        if let Outcome::Value(_) = reply {
            self.players.insert(number);
            self.next += 1;
        }
        Ok(reply)
    }

    /// The topmost table of the process that spins: the one whose word at `spins` is 1 while the machine is in user mode.
    fn find_root(&mut self, spins: u64) -> io::Result<u64> {
        let ((mode, mask, user), (root, bits)) = (self.guest.mode, self.guest.root);
        let gdb = match &mut self.gdb {
            Some(gdb) => gdb,
            none => none.insert(Gdb::connect(&self.socket)?),
        };
        for _ in 0..STOPS {
            gdb.stop()?;
            let found = if gdb.register(mode)? & mask == user && gdb.word(spins)? == Some(1) {
                Some(gdb.register(root)? & bits)
            } else {
                None
            };
            gdb.go()?;
            if let Some(found) = found {
                return Ok(found);
            }
            thread::sleep(Duration::from_micros(500));
        }
        Err(io::Error::other("the guest is never found in the process whose tables are wanted"))
    }
}

/// A process that is ended when dropped, until somebody else takes it.
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
fn find_mailbox(console: &mut Console, ram: &Ram) -> Result<Mailbox, RealError> {
    let begun = Instant::now();
    while begun.elapsed() < BOOT {
        let Some(line) = console.line(Duration::from_millis(200)) else {
            if console.lives() {
                continue;
            }
            break;
        };
        if let Some((_, why)) = line.split_once("@? ") {
            return Err(nonsense(why));
        }
        let frame = line.split_once("@box ").and_then(|(_, frame)| u64::from_str_radix(frame, 16).ok());
        if let Some(mailbox) = frame.and_then(|frame| Mailbox::find(ram, frame)) {
            return Ok(mailbox);
        }
    }
    Err(RealError::Gone { asked: "boot".to_owned(), console: console.last() })
}

/// What the guest says to a line.
struct Answer {
    text: String,
    words: Vec<u64>,
    reply: Outcome,
}

impl Answer {
    fn read(said: &str) -> Result<Self, RealError> {
        let mut answer = Self { text: String::new(), words: Vec::new(), reply: Outcome::Value(0) };
        for line in said.lines() {
            let Some(line) = line.strip_prefix('@') else { return Err(nonsense(line)) };
            match line.split_at_checked(1) {
                Some(("|", text)) => {
                    // A space at the end of a line of smaps stands for no name.
                    answer.text.push_str(text.strip_prefix(' ').unwrap_or(text));
                    answer.text.push('\n');
                }
                Some(("*", run)) => answer.words.extend(expand(run).ok_or_else(|| nonsense(line))?),
                _ => {
                    answer.reply = command::reply(line).ok_or_else(|| nonsense(line))?;
                    return Ok(answer);
                }
            }
        }
        Err(nonsense(said))
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

/// `START STEP COUNT` in hex as the numbers that it stands for.
fn expand(run: &str) -> Option<impl Iterator<Item = u64>> {
    let numbers: Vec<u64> = run
        .split_ascii_whitespace()
        .map(|word| u64::from_str_radix(word, 16))
        .collect::<Result<_, _>>()
        .ok()?;
    let &[start, step, count] = numbers.as_slice() else { return None };
    Some((0..count).map(move |i| start.wrapping_add(step.wrapping_mul(i))))
}

impl Drop for Qemu {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl RealKernel for Qemu {
    fn call(&mut self, pid: u32, call: &Call) -> Result<Outcome, RealError> {
        self.smaps = None;
        let line = match call {
            Call::Fork {} => return self.fork(pid),
            Call::Thp { size, mode } => format!("thp {} {}", size.file(), mode.name()),
            Call::ClearRefs { what } => format!("clear_refs {pid} {what}"),
            Call::NumaScan { .. } => format!("{pid} wait {SCAN:x}"),
            Call::MigrateBegin { .. }
            | Call::Numa { .. }
            | Call::Page { .. }
            | Call::Time { .. }
            | Call::Dump { .. } => {
                return Ok(Outcome::Value(0));
            }
            call => match command::line(&call.placed()) {
                Some(line) => format!("{pid} {line}"),
                None => return Ok(Outcome::Failed(CallError::Errno(Errno::ENOSYS))),
            },
        };
        if let Call::ExitGroup { .. } = call {
            self.players.remove(&pid);
        }
        Ok(self.ask(&line)?.reply)
    }

    fn lives(&self, pid: u32) -> bool {
        self.players.contains(&pid)
    }

    fn smaps(&mut self, pid: u32) -> Result<String, RealError> {
        if let Some((of, text)) = &self.smaps
            && *of == pid
        {
            return Ok(text.clone());
        }
        let text = self.ask(&format!("smaps {pid}"))?.text;
        self.smaps = Some((pid, text.clone()));
        Ok(text)
    }

    fn words(&mut self, file: WordFile, index: u64, count: u64) -> Result<Vec<u64>, RealError> {
        let file = match file {
            WordFile::Pagemap(pid) => pid.to_string(),
            WordFile::KPageFlags => "kpageflags".to_owned(),
            WordFile::KPageCount => "kpagecount".to_owned(),
        };
        let mut words = Vec::new();
        while (words.len() as u64) < count {
            let done = words.len() as u64;
            let part = WORDS.min(count - done);
            let got = self.ask(&format!("words {file} {:x} {part:x}", index + done))?.words;
            let ends = (got.len() as u64) < part;
            words.extend(got);
            if ends {
                break;
            }
        }
        Ok(words)
    }

    fn pages_at_once(
        &mut self,
        pid: u32,
        index: u64,
        count: u64,
    ) -> Result<Option<Vec<RealPage>>, RealError> {
        let mut pages = Vec::new();
        while (pages.len() as u64) < count {
            let done = pages.len() as u64;
            let part = PAGES.min(count - done);
            let text = self.ask(&format!("pages {pid} {:x} {part:x}", index + done))?.text;
            for line in text.lines() {
                pages.extend(pages_alike(line).ok_or_else(|| nonsense(line))?);
            }
            if (pages.len() as u64) < done + part {
                break;
            }
        }
        Ok(Some(pages))
    }

    fn root(&mut self, pid: u32) -> Result<Option<u64>, RealError> {
        if let Some(root) = self.roots.get(&pid) {
            return Ok(Some(*root));
        }
        let Outcome::Value(spins) = self.ask(&format!("{pid} spin"))?.reply else {
            return Err(RealError::Died(pid));
        };
        let root = self.find_root(spins).map_err(RealError::io("QEMU's gdb stub"))?;
        self.ask(&format!("{pid} stop"))?;
        self.roots.insert(pid, root);
        Ok(Some(root))
    }

    fn physical(&self, addr: u64) -> Option<u64> {
        self.ram.word(addr)
    }
}
