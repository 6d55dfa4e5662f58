//! A kernel image under QEMU, with scenarios played by the guest program (`guest/guest.c`).

mod gdb;
mod tables;

use crate::command;
use crate::real::{RealError, RealKernel, TableWord, WordFile};
use crate::shape::ENTRIES;
use cpio::newc::{self, Builder};
use gdb::Gdb;
use ptelab_uapi::{Call, CallError, Errno, Outcome};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;
use tables::Format;
use tempfile::TempDir;

/// How long the guest may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the machine is stopped until it is found in the process whose tables are wanted.
const STOPS: u32 = 500;
/// How long the guest stays in user mode where a scenario says that the kernel's scanner passes over its memory, in ms.
const SCAN: u64 = 8000;
const GUEST: &str = "the guest program";

/// An architecture that QEMU emulates.
#[derive(Debug)]
pub struct Guest {
    /// The port.
    pub port: &'static str,
    /// QEMU's program for it.
    pub qemu: &'static str,
    /// The Debian package of that.
    pub qemu_package: &'static str,
    /// The C compiler that makes the guest program.
    pub compiler: &'static str,
    /// The Debian packages of that.
    pub compiler_packages: &'static str,
    machine: &'static [&'static str],
    console: &'static str,
    /// The register that points to the topmost table.
    root: &'static str,
    /// The register that tells user mode, by these bits having this value.
    mode: (&'static str, u64, u64),
    format: Format,
}

/// Every architecture that QEMU emulates for us.
pub const GUESTS: [Guest; 2] = [
    Guest {
        port: "arm64",
        qemu: "qemu-system-aarch64",
        qemu_package: "qemu-system-arm",
        compiler: "aarch64-linux-gnu-gcc",
        compiler_packages: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        machine: &["-M", "virt,gic-version=3", "-cpu", "max,pauth-impdef=on,lpa2=off"],
        console: "ttyAMA0",
        root: "TTBR0_EL1",
        mode: ("cpsr", 0xf, 0),
        format: Format { pfn_mask: 0x0000_ffff_ffff_f000, table_mask: 0b11, table_value: 0b11 },
    },
    Guest {
        port: "x86_64",
        qemu: "qemu-system-x86_64",
        qemu_package: "qemu-system-x86",
        compiler: "x86_64-linux-gnu-gcc",
        compiler_packages: "gcc-x86-64-linux-gnu libc6-dev-amd64-cross",
        machine: &["-M", "q35", "-cpu", "max,la57=off"],
        console: "ttyS0",
        root: "cr3",
        mode: ("cs", 3, 3),
        format: Format { pfn_mask: 0x000f_ffff_ffff_f000, table_mask: 0x81, table_value: 0x01 },
    },
];

impl Guest {
    /// The guest of a port.
    pub fn of(port: &str) -> Option<&'static Self> {
        GUESTS.iter().find(|guest| guest.port == port)
    }

    /// The bits of a word that hold a frame number.
    pub const fn pfn_mask(&self) -> u64 {
        self.format.pfn_mask
    }

    /// The name of the file that holds the guest program, packed for the kernel.
    pub fn initramfs(&self) -> String {
        format!("guest-{}.cpio", self.port)
    }
}

/// What a machine of QEMU's is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The architecture.
    pub guest: &'static Guest,
    /// The kernel's image.
    pub image: PathBuf,
    /// The folder with the guest program, as `cargo xtask guest` leaves it.
    pub guests: PathBuf,
    /// NUMA nodes.
    pub nodes: u8,
    /// Whether NUMA balancing is on.
    pub numa_balancing: bool,
    /// Whether a scenario makes swap devices, which need the image's [`Setup::disk`].
    pub swaps: bool,
}

impl Setup {
    /// The image's module for disks in memory, beside it: `brd-6.17-arm64.ko` for `vmlinuz-6.17-arm64`.
    pub fn disk(&self) -> PathBuf {
        let name = self.image.file_name().unwrap_or_default().to_string_lossy();
        let version = name.strip_prefix("vmlinuz-").unwrap_or(&name);
        self.image.with_file_name(format!("brd-{version}.ko"))
    }

    /// What the kernel unpacks at boot: the guest program, and in a folder of our own a module beside it where one is needed.
    fn initramfs(&self, folder: &Path) -> Result<PathBuf, RealError> {
        let program = self.guests.join(self.guest.initramfs());
        let packages = self.guest.compiler_packages;
        look_for(&program, &format!("cargo xtask guest makes it (Debian: {packages})"))?;
        if !self.swaps {
            return Ok(program);
        }
        let disk = self.disk();
        look_for(&disk, DISK)?;
        let both = folder.join("initramfs");
        let pack = || {
            let mut archive = fs::read(&program)?;
            let module = fs::read(&disk)?;
            let size = u32::try_from(module.len()).map_err(io::Error::other)?;
            let mut file = Builder::new("brd.ko").mode(0o100_644).write(&mut archive, size);
            file.write_all(&module)?;
            file.finish()?;
            newc::trailer(&mut archive)?;
            fs::write(&both, archive)
        };
        pack().map_err(RealError::io("an initramfs with the disk's module"))?;
        Ok(both)
    }
}

/// Where the module for disks is had.
pub const DISK: &str =
    "it is the kernel's module brd, kernel/drivers/block/brd.ko.xz of its package, unpacked by xz -d";

/// A machine under QEMU, ended when dropped.
#[derive(Debug)]
pub struct Qemu {
    guest: &'static Guest,
    child: Child,
    console: ChildStdin,
    lines: Receiver<io::Result<String>>,
    gdb: PathBuf,
    _folder: TempDir,
    release: String,
    players: BTreeSet<u32>,
    /// Number of the next child.
    next: u32,
}

impl Qemu {
    /// Boots the machine.
    ///
    /// # Errors
    /// Where QEMU, the image or the guest program is missing, in a sentence that says where it is had; where the kernel does
    /// not come up.
    pub fn boot(setup: &Setup) -> Result<Self, RealError> {
        let guest = setup.guest;
        look_for(&setup.image, "a kernel image is in Debian's linux-image packages, as boot/vmlinuz-*")?;
        let folder = TempDir::new().map_err(RealError::io("a folder for QEMU's socket"))?;
        let initramfs = setup.initramfs(folder.path())?;
        let gdb = folder.path().join("gdb");
        let mut child = command(setup, &initramfs, &gdb).spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let Guest { qemu, qemu_package, .. } = guest;
                RealError::Missing(format!("{qemu} is not installed (Debian: {qemu_package})"))
            }
            _ => RealError::io(guest.qemu)(error),
        })?;
        let (Some(console), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(RealError::Missing("QEMU has no console".to_owned()));
        };
        let (sender, lines) = channel();
        thread::spawn(move || {
            BufReader::new(output).split(b'\n').map(text).try_for_each(|line| sender.send(line))
        });
        let (players, next) = (BTreeSet::new(), 2);
        let release = String::new();
        let mut qemu = Self { guest, child, console, lines, gdb, _folder: folder, release, players, next };
        qemu.answer("boot")?;
        qemu.ask("release")?.text.trim().clone_into(&mut qemu.release);
        Ok(qemu)
    }

    /// The kernel's release: `6.17.13+deb13-cloud-arm64`.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Ends all processes, puts the settings to where a scenario starts, and starts process 1.
    ///
    /// # Errors
    /// Where the guest does not answer.
    pub fn restart(&mut self) -> Result<(), RealError> {
        self.ask("start")?;
        self.players = BTreeSet::from([1]);
        self.next = 2;
        Ok(())
    }

    /// Sends a line and waits for the answer.
    fn ask(&mut self, line: &str) -> Result<Answer, RealError> {
        writeln!(self.console, "{line}").map_err(RealError::io(GUEST))?;
        self.answer(line)
    }

    /// The answer to a line.
    fn answer(&mut self, to: &str) -> Result<Answer, RealError> {
        let mut answer = Answer { text: String::new(), words: Vec::new(), reply: Outcome::Value(0) };
        loop {
            let line = match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => line.map_err(RealError::io(GUEST))?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(RealError::Silent(to.to_owned()));
                }
            };
            // What stands before the mark is the kernel's own.
            let Some((_, said)) = line.split_once('@') else { continue };
            match said.split_at_checked(1) {
                Some(("|", text)) => {
                    // A space at the end of a line of smaps stands for no name.
                    answer.text.push_str(text.strip_prefix(' ').unwrap_or(text).trim_end_matches('\r'));
                    answer.text.push('\n');
                }
                Some(("*", run)) => answer.words.extend(expand(run).ok_or_else(|| nonsense(said))?),
                _ => {
                    answer.reply = command::reply(said).ok_or_else(|| nonsense(said))?;
                    return Ok(answer);
                }
            }
        }
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

    /// Stops the machine while it is in user mode in the process that spins: the one whose word at `spins` is 1.
    fn stop_in_process(&mut self, spins: u64) -> io::Result<(Gdb, u64)> {
        let (mode, mask, user) = self.guest.mode;
        for _ in 0..STOPS {
            let mut gdb = Gdb::stop(&self.gdb)?;
            let registers = gdb.registers()?;
            let number = |name: &str| {
                let found = registers.iter().find(|(known, _)| known == name);
                found
                    .map(|(_, number)| *number)
                    .ok_or_else(|| io::Error::other(format!("no register {name}")))
            };
            if gdb.register(number(mode)?)? & mask == user && gdb.word(spins)? == Some(1) {
                let root = gdb.register(number(self.guest.root)?)?;
                return Ok((gdb, root & self.guest.format.pfn_mask));
            }
            gdb.go()?;
            thread::sleep(Duration::from_millis(10));
        }
        Err(io::Error::other("the guest is never found in the process whose tables are wanted"))
    }

    fn walk(&mut self, spins: u64, range: (u64, u64)) -> io::Result<Vec<TableWord>> {
        let (mut gdb, root) = self.stop_in_process(spins)?;
        let words = tables::walk(self.guest.format, root, range, |at| gdb.physical_words(at, ENTRIES));
        gdb.go()?;
        words
    }
}

/// What the guest says to a line.
struct Answer {
    text: String,
    words: Vec<u64>,
    reply: Outcome,
}

fn nonsense(said: &str) -> RealError {
    RealError::Nonsense { from: GUEST, said: said.to_owned() }
}

fn text(line: io::Result<Vec<u8>>) -> io::Result<String> {
    line.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
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

fn look_for(path: &Path, how: &str) -> Result<(), RealError> {
    if path.is_file() {
        Ok(())
    } else {
        Err(RealError::Missing(format!("no file {}: {how}", path.display())))
    }
}

/// How QEMU is started. What would make two runs differ is switched off: five levels, larger addresses, tables of their own
/// for user mode, random places, and what clears accessed bits at times of its own.
fn command(setup: &Setup, initramfs: &Path, gdb: &Path) -> std::process::Command {
    let Setup { guest, image, nodes, numa_balancing, .. } = setup;
    let append = format!(
        "console={} quiet loglevel=0 panic=-1 nokaslr norandmaps nopti damon_stat.enabled=N numa_balancing={}",
        guest.console,
        if *numa_balancing { "enable" } else { "disable" }
    );
    let mut qemu = std::process::Command::new(guest.qemu);
    qemu.args(guest.machine).arg("-kernel").arg(image).arg("-initrd").arg(initramfs);
    qemu.args(["-append", &append, "-m", "512M", "-smp", "1", "-nodefaults", "-nographic", "-no-reboot"]);
    if *nodes > 1 {
        qemu.args(["-object", "memory-backend-ram,id=m0,size=256M", "-numa", "node,cpus=0,memdev=m0"]);
        qemu.args(["-object", "memory-backend-ram,id=m1,size=256M", "-numa", "node,memdev=m1"]);
    }
    let socket = format!("socket,id=gdb,server=on,wait=off,path={}", gdb.display());
    qemu.args(["-serial", "stdio", "-chardev", &socket, "-gdb", "chardev:gdb"]);
    qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    end_with_parent(&mut qemu);
    qemu
}

#[expect(unsafe_code, reason = "a program that is no part of ours must be told before it starts")]
fn end_with_parent(command: &mut std::process::Command) {
    let tell = || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        Ok(())
    };
    // SAFETY: between fork and exec it makes one system call and nothing else.
    unsafe { command.pre_exec(tell) };
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Where it has gone already, there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl RealKernel for Qemu {
    fn call(&mut self, pid: u32, call: &Call) -> Result<Outcome, RealError> {
        let line = match call {
            Call::Fork {} => return self.fork(pid),
            Call::Thp { size, mode } => format!("thp {} {}", size.file(), mode.name()),
            Call::ClearRefs { what } => format!("clear_refs {pid} {what}"),
            Call::NumaScan { .. } => format!("{pid} wait {SCAN:x}"),
            Call::MigrateBegin { .. } | Call::Numa { .. } | Call::Time { .. } | Call::Dump { .. } => {
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
        Ok(self.ask(&format!("smaps {pid}"))?.text)
    }

    fn words(&mut self, file: WordFile, index: u64, count: u64) -> Result<Vec<u64>, RealError> {
        let file = match file {
            WordFile::Pagemap(pid) => pid.to_string(),
            WordFile::KPageFlags => "kpageflags".to_owned(),
            WordFile::KPageCount => "kpagecount".to_owned(),
        };
        Ok(self.ask(&format!("words {file} {index:x} {count:x}"))?.words)
    }

    fn table_words(&mut self, pid: u32, start: u64, end: u64) -> Result<Option<Vec<TableWord>>, RealError> {
        let Outcome::Value(spins) = self.ask(&format!("{pid} spin"))?.reply else {
            return Err(RealError::Died(pid));
        };
        let words = self.walk(spins, (start, end)).map_err(RealError::io("QEMU's gdb stub"))?;
        self.ask(&format!("{pid} stop"))?;
        Ok(Some(words))
    }
}
