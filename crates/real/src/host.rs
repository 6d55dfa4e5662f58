//! The running kernel, with scenarios played in child processes.

mod keeper;
mod player;

pub use keeper::keep;
pub use player::play;

use crate::command::{self, failed};
use crate::real::{
    Look, Looked, RealError, RealKernel, RealVma, Root, Translate, WordFile, WordFiles, pages, vmas,
};
use keeper::Keeper;
use ptelab_uapi::{Call, CallError, Errno, Outcome};
use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{self, Child, Stdio};

/// How this crate's own processes are started: a program that calls [`play`] or [`keep`] when it is given these arguments.
#[derive(Clone, Debug)]
pub struct Helpers {
    /// The program.
    pub program: PathBuf,
    /// With these it calls [`play`].
    pub play: &'static [&'static str],
    /// With these it calls [`keep`].
    pub keep: &'static [&'static str],
}

/// The running kernel. Its settings are put back when it is dropped, and also where the program ends otherwise.
#[derive(Debug)]
pub struct RunningKernel {
    helpers: Helpers,
    /// The process that changes settings; none where that is not allowed.
    keeper: Option<Keeper>,
    players: BTreeMap<u32, Player>,
    /// Number of the next child.
    next: u32,
}

#[derive(Debug)]
struct Player {
    socket: OwnedFd,
    /// Its number in the running kernel.
    os_pid: u64,
    /// Process 1, which is our own child.
    child: Option<Child>,
}

impl RunningKernel {
    /// The running kernel with its settings as a scenario expects them, where we may change them.
    ///
    /// # Errors
    /// Where settings may be changed, and who is to put them back does not start.
    pub fn new(helpers: Helpers) -> Result<Self, RealError> {
        let writable = fs::OpenOptions::new().write(true).open(format!("{}/enabled", keeper::DIR)).is_ok();
        let keeper = writable.then(|| Keeper::start(&helpers.program, helpers.keep)).transpose()?;
        Ok(Self { helpers, keeper, players: BTreeMap::new(), next: 2 })
    }

    /// Ends all processes, puts the settings to where a scenario starts, and starts process 1.
    ///
    /// # Errors
    /// Where a process cannot be started, or a setting not be written.
    pub fn restart(&mut self) -> Result<(), RealError> {
        self.end();
        if let Some(keeper) = &mut self.keeper {
            keeper.reset()?;
        }
        let (ours, theirs) = socket_pair()?;
        let child = process::Command::new(&self.helpers.program)
            .args(self.helpers.play)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(RealError::io("a process that plays the scenario"))?;
        let os_pid = u64::from(child.id());
        self.players.insert(1, Player { socket: ours, os_pid, child: Some(child) });
        Ok(())
    }

    /// Ends all processes.
    pub fn end(&mut self) {
        for (_, player) in std::mem::take(&mut self.players) {
            player.end();
        }
        self.next = 2;
    }

    /// Whether settings may be changed.
    pub const fn may_set(&self) -> bool {
        self.keeper.is_some()
    }

    /// The value of a setting of huge pages, by its path from their folder in /sys; nothing where the kernel does not have it.
    pub fn setting(file: &str) -> Option<String> {
        keeper::value(file).ok()
    }

    fn player(&self, pid: u32) -> Result<&Player, RealError> {
        self.players.get(&pid).ok_or(RealError::Died(pid))
    }

    fn fork(&mut self, parent: u32, call: &Call) -> Result<Outcome, RealError> {
        let (ours, theirs) = socket_pair()?;
        let number = self.next;
        let reply = self.player(parent)?.ask(call, Some(&theirs)).map_err(|_| RealError::Died(parent))?;
        drop(theirs);
        let Outcome::Value(os_pid) = reply else { return Ok(reply) };
        let child = Player { socket: ours, os_pid, child: None };
        child.answer().map_err(|_| RealError::Died(number))?;
        self.players.insert(number, child);
        self.next += 1;
        Ok(Outcome::Value(number.into()))
    }

    fn exit(&mut self, pid: u32, call: &Call) -> Result<Outcome, RealError> {
        let player = self.players.remove(&pid).ok_or(RealError::Died(pid))?;
        // Nothing comes back but the end of the socket, which the kernel closes after the memory.
        if player.ask(call, None).is_ok() {
            return Err(RealError::Nonsense { from: "a process that ends", said: "an answer".to_owned() });
        }
        player.end();
        Ok(Outcome::Value(0))
    }

    fn clear_refs(&self, pid: u32, what: u8) -> Result<Outcome, RealError> {
        let path = self.proc(pid, "clear_refs")?;
        let mut file = fs::OpenOptions::new().write(true).open(&path).map_err(RealError::io(path))?;
        Ok(match file.write_all(what.to_string().as_bytes()) {
            Ok(()) => Outcome::Value(0),
            Err(error) => failed(error.raw_os_error().unwrap_or(libc::EIO)),
        })
    }

    fn proc(&self, pid: u32, file: &str) -> Result<String, RealError> {
        Ok(format!("/proc/{}/{file}", self.player(pid)?.os_pid))
    }
}

impl Drop for RunningKernel {
    fn drop(&mut self) {
        self.end();
    }
}

impl RunningKernel {
    fn make(&mut self, pid: u32, call: &Call) -> Result<Outcome, RealError> {
        match call {
            Call::Fork {} => self.fork(pid, call),
            Call::ExitGroup { .. } => self.exit(pid, call),
            Call::Thp { size, mode } => match &mut self.keeper {
                Some(keeper) => keeper.set(&size.file(), mode.name()),
                None => Ok(Outcome::Failed(CallError::Errno(Errno::EACCES))),
            },
            Call::ClearRefs { what } => self.clear_refs(pid, *what),
            // The scanner passes when it does: nothing makes it.
            Call::NumaScan { .. } => Ok(Outcome::Value(0)),
            call => self.player(pid)?.ask(&call.placed(), None).map_err(|_| RealError::Died(pid)),
        }
    }

    /// All VMAs of a process.
    ///
    /// # Errors
    /// Where /proc/PID/smaps cannot be read, or holds what it should not.
    pub fn vmas(&self, pid: u32) -> Result<Vec<RealVma>, RealError> {
        let path = self.proc(pid, "smaps")?;
        vmas(&fs::read_to_string(&path).map_err(RealError::io(path))?)
    }
}

impl RealKernel for RunningKernel {
    fn play(
        &mut self,
        calls: &[(u32, &Call)],
        looks: &[Look],
    ) -> Result<(Vec<Outcome>, Vec<Looked>), RealError> {
        let outcomes = calls.iter().map(|(pid, call)| self.make(*pid, call)).collect::<Result<_, _>>()?;
        let look = |look: &Look| {
            Ok(Looked { pages: pages(self, look.pid, &look.pages)?, vmas: self.vmas(look.pid)? })
        };
        Ok((outcomes, looks.iter().map(look).collect::<Result<_, RealError>>()?))
    }

    fn lives(&self, pid: u32) -> bool {
        self.players.contains_key(&pid)
    }

    fn root(&mut self, _: u32, _: &Translate<'_>) -> Result<Option<Root>, RealError> {
        Ok(None)
    }

    fn forget_root(&mut self, _: u32) {}

    fn entry(&self, _: u64) -> Option<u64> {
        None
    }

    fn byte(&self, _: u64) -> Option<u8> {
        None
    }
}

impl WordFiles for RunningKernel {
    fn words(&mut self, file: WordFile, index: u64, count: u64) -> Result<Vec<u64>, RealError> {
        let path = match file {
            WordFile::Pagemap(pid) => self.proc(pid, "pagemap")?,
            WordFile::KPageFlags => "/proc/kpageflags".to_owned(),
            WordFile::KPageCount => "/proc/kpagecount".to_owned(),
        };
        match File::open(&path).and_then(|file| read_words(&file, index, count)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Vec::new()),
            done => done.map_err(RealError::io(path)),
        }
    }
}

/// Bytes of a word.
const WORD: u64 = 8;

fn read_words(file: &File, index: u64, count: u64) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; (count * WORD) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], index * WORD + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    let words = bytes[..filled].chunks_exact(WORD as usize);
    Ok(words.map(|word| word.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))).collect())
}

impl Player {
    /// Sends a call, with the socket of a child that it makes, and waits for the answer.
    fn ask(&self, call: &Call, socket: Option<&OwnedFd>) -> io::Result<Outcome> {
        let line = command::line(call).ok_or_else(|| io::Error::other("a call that is not asked"))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let sockets: Vec<_> = socket.iter().map(|socket| socket.as_fd()).collect();
        if !sockets.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&sockets));
        }
        let message = [IoSlice::new(line.as_bytes())];
        rustix::net::sendmsg(&self.socket, &message, &mut control, SendFlags::NOSIGNAL)?;
        self.answer()
    }

    fn answer(&self) -> io::Result<Outcome> {
        let mut bytes = [0; player::MAX_MESSAGE];
        let (n, _) = rustix::net::recv(&self.socket, &mut bytes, RecvFlags::empty())?;
        let line = String::from_utf8_lossy(&bytes[..n]);
        command::reply(&line).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    /// Lets the process end: it does when its socket closes.
    fn end(self) {
        drop(self.socket);
        if let Some(mut child) = self.child {
            // Where it cannot be waited for, nothing depends on it.
            let _ = child.wait();
        }
    }
}

fn socket_pair() -> Result<(OwnedFd, OwnedFd), RealError> {
    let pair =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    pair.map_err(|error| RealError::io("a pair of sockets")(error.into()))
}
