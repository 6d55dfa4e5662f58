//! Settings of the running kernel that a scenario changes, and that are put back.
//!
//! A process of its own changes them. It puts them back when its standard input closes, which happens however the program that
//! started it ends. It holds a lock meanwhile, so that two such programs do not take each other's settings for the host's.

use crate::command::{failed, reply, reply_line};
use crate::real::RealError;
use ptelab_uapi::Outcome;
use rustix::fs::{FlockOperation, flock};
use rustix::mm::{self, Advice, MapFlags, ProtFlags};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::ptr;

/// Where the settings are.
pub(crate) const DIR: &str = "/sys/kernel/mm/transparent_hugepage";

/// A setting, by its path from [`DIR`], and its value.
pub(crate) type Setting = (String, String);

/// Settings of khugepaged and of all sizes, as scenarios start from them: khugepaged asleep, huge pages off.
const AT_START: [(&str, &str); 4] = [
    ("khugepaged/scan_sleep_millisecs", "4000000000"),
    ("enabled", "never"),
    ("shmem_enabled", "never"),
    ("use_zero_page", "1"),
];

/// All settings that a scenario starts from, with those of each size that this kernel has.
fn at_start() -> io::Result<Vec<Setting>> {
    let mut all: Vec<Setting> =
        AT_START.iter().map(|&(file, value)| (file.to_owned(), value.to_owned())).collect();
    for entry in fs::read_dir(DIR)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("hugepages-") {
            all.push((format!("{name}/enabled"), "never".to_owned()));
            all.push((format!("{name}/shmem_enabled"), "never".to_owned()));
        }
    }
    all.retain(|(file, _)| path(file).exists());
    Ok(all)
}

fn path(file: &str) -> PathBuf {
    Path::new(DIR).join(file)
}

/// What a setting is: the word in brackets where there are several.
pub(crate) fn value(file: &str) -> io::Result<String> {
    let text = fs::read_to_string(path(file))?;
    Ok(crate::thp::chosen(&text).unwrap_or(text.trim()).to_owned())
}

fn set(file: &str, value: &str) -> Outcome {
    match fs::OpenOptions::new().write(true).open(path(file)).and_then(|mut f| f.write_all(value.as_bytes()))
    {
        Ok(()) => Outcome::Value(0),
        Err(error) => failed(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

/// The process that changes settings: `FILE VALUE` a line, answered by a reply; `reset` sets what a scenario starts from.
///
/// # Errors
/// Where settings cannot be read or locked; then nothing was changed.
pub fn keep() -> io::Result<()> {
    let lock = File::open(path("enabled"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let start = at_start()?;
    let before: Vec<Setting> =
        start.iter().map(|(file, _)| Ok((file.clone(), value(file)?))).collect::<io::Result<_>>()?;
    occupy_khugepaged();
    answer_all(&start);
    for (file, value) in &before {
        set(file, value);
    }
    Ok(())
}

/// khugepaged runs where huge leaves are made.
const HUGE_LEAVES: &str = "hugepages-2048kB/enabled";
/// Bytes of empty memory for khugepaged to look at: 16 MiB at a time, each time that huge leaves are switched on.
const OCCUPIES: usize = 256 << 30;

/// Gives khugepaged this process's memory to look at, which is large and empty. Asleep or not, it looks at some memory whenever
/// a scenario switches huge leaves on, and would put the scenario's folios together. It takes processes in the order in which they
/// came, and so does not get beyond this one. Where the memory cannot be had, it may.
fn occupy_khugepaged() {
    let (access, kind) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
    set(HUGE_LEAVES, "never");
    // SAFETY: a new mapping at an address that the kernel chooses; its first byte is written, and nothing refers to it.
    unsafe {
        let Ok(memory) = mm::mmap_anonymous(ptr::null_mut(), OCCUPIES, access, kind) else { return };
        // Only memory of which a page is in use is looked at.
        memory.cast::<u8>().write_volatile(1);
        set(HUGE_LEAVES, "madvise");
        let _ = mm::madvise(memory, OCCUPIES, Advice::LinuxHugepage);
    }
    set(HUGE_LEAVES, "never");
}

/// Answers until nobody asks or listens any more.
fn answer_all(start: &[Setting]) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let reply = match line.split_once(' ') {
            Some((file, value)) if !file.contains("..") && !file.starts_with('/') => set(file, value),
            _ => start
                .iter()
                .map(|(file, value)| set(file, value))
                .find(is_failure)
                .unwrap_or(Outcome::Value(0)),
        };
        if writeln!(io::stdout(), "{}", reply_line(reply)).is_err() {
            return;
        }
    }
}

const fn is_failure(reply: &Outcome) -> bool {
    matches!(reply, Outcome::Failed(_))
}

/// The other side: settings as somebody changes them who may.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

const NAME: &str = "the process that keeps settings";

impl Keeper {
    /// Starts the process: this program, with these arguments. It waits for others that changed settings.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Result<Self, RealError> {
        // Ctrl-C on a terminal must not reach it: it ends after us.
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn();
        let mut child = child.map_err(RealError::io(NAME))?;
        let (Some(asks), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(RealError::Died(0));
        };
        let mut keeper = Self { child, asks: Some(asks), answers: BufReader::new(answers) };
        keeper.reset()?;
        Ok(keeper)
    }

    /// Sets what a scenario starts from.
    pub(crate) fn reset(&mut self) -> Result<(), RealError> {
        match self.ask("reset")? {
            Outcome::Failed(error) => Err(RealError::io(DIR)(io::Error::other(error))),
            Outcome::Value(_) | Outcome::Mismatch(_) => Ok(()),
        }
    }

    /// Changes a setting.
    pub(crate) fn set(&mut self, file: &str, value: &str) -> Result<Outcome, RealError> {
        self.ask(&format!("{file} {value}"))
    }

    fn ask(&mut self, line: &str) -> Result<Outcome, RealError> {
        let mut answer = String::new();
        let done = self.asks.as_mut().map_or(Ok(()), |asks| writeln!(asks, "{line}"));
        done.and_then(|()| self.answers.read_line(&mut answer)).map_err(RealError::io(NAME))?;
        reply(&answer).ok_or(RealError::Nonsense { from: NAME, said: answer })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.asks = None;
        // Where it cannot be waited for, it puts the settings back all the same.
        let _ = self.child.wait();
    }
}
