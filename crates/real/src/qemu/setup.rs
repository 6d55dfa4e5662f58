//! How QEMU is started.

use super::guests::Guest;
use super::image::look_if_whole;
use super::ram::Ram;
use crate::real::RealError;
use cpio::newc::{self, Builder};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a machine of QEMU's is made of.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a machine, each by itself")]
pub struct Setup {
    /// The architecture.
    pub guest: &'static Guest,
    /// The kernel's image.
    pub image: PathBuf,
    /// The same as QEMU takes it: see [`for_qemu`](super::for_qemu).
    pub kernel: PathBuf,
    /// The folder with the packed guest program, as [`build_program`](super::build_program) leaves it.
    pub guests: PathBuf,
    /// Memory, in bytes.
    pub memory: u64,
    /// NUMA nodes.
    pub nodes: u8,
    /// Whether NUMA balancing is on.
    pub numa_balancing: bool,
    /// Whether a scenario makes swap devices, which need the image's [`Setup::disk`].
    pub swaps: bool,
    /// Whether the CPU has what makes addresses larger: see [`Guest::wide`].
    pub wide: bool,
    /// Whether time is counted in instructions: a nanosecond is one.
    pub icount: bool,
    /// Where this is set, nothing is waited for any more.
    pub stop: Option<&'static AtomicBool>,
}

/// Where the module for disks is had.
pub const DISK: &str =
    "it is the kernel's module brd, kernel/drivers/block/brd.ko.xz of its package, unpacked by xz -d";

/// Memory that QEMU may have beside the guest's, in bytes: most of it is address space for translated code.
const QEMU_ITSELF: u64 = 6 << 30;

impl Setup {
    /// Whether it was stopped.
    pub(super) fn stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// The image's module for disks in memory, beside it: `brd-6.17-arm64.ko` for `vmlinuz-6.17-arm64`.
    pub fn disk(&self) -> PathBuf {
        let name = self.image.file_name().unwrap_or_default().to_string_lossy();
        let version = ["vmlinuz-", "vmlinux-"].iter().find_map(|prefix| name.strip_prefix(prefix));
        let version = version.unwrap_or(&name);
        self.image.with_file_name(format!("brd-{version}.ko"))
    }

    /// What the kernel unpacks at boot: the guest program, and in a folder of our own a module beside it where one is needed.
    pub(super) fn initramfs(&self, folder: &Path) -> Result<PathBuf, RealError> {
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

    /// The image's pages are of so many bytes, and not those of the guest.
    pub(super) fn other_pages(&self, page: u64) -> RealError {
        let (image, Guest { port, .. }) = (self.image.display(), self.guest);
        let other =
            self.guest.with_pages(page).map_or_else(String::new, |other| format!(": --arch {}", other.port));
        RealError::Missing(format!("{image} has pages of {}K, unlike {port}{other}", page >> 10))
    }

    /// That QEMU is older than one that is known to do, where a machine did not come up with it.
    pub(super) fn too_old(&self, gone: &RealError) -> Option<RealError> {
        let Guest { qemu, qemu_package, qemu_release: wanted, .. } = self.guest;
        let said = Command::new(qemu).arg("--version").output().ok()?.stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        let (_, release) = said.lines().next()?.split_once("version ")?;
        let release = release.split(' ').next()?;
        let number = |text: &str| text.split('.').next().and_then(|part| part.parse::<u32>().ok());
        (number(release)? < number(wanted)?).then(|| {
            let why =
                format!("{qemu} is of release {release}; {wanted} does (Debian: {qemu_package}): {gone}");
            RealError::Missing(why)
        })
    }

    /// What would make two runs differ is switched off: five levels, larger addresses, tables of their own for user mode, random
    /// places, and what clears accessed bits at times of its own. Warnings are shown, and what the kernel does not survive ends it. A
    /// lockup is one from a minute on: a busy host makes a guest wait for longer than the usual 20 s.
    fn append(&self) -> String {
        format!(
            "console={} loglevel=5 panic=-1 oops=panic nokaslr norandmaps watchdog_thresh=30 damon_stat.enabled=N numa_balancing={} {}",
            self.guest.console,
            if self.numa_balancing { "enable" } else { "disable" },
            self.guest.append
        )
    }

    /// QEMU's command line. It has no network, no disk and no more memory than it needs, and ends with this process.
    pub(super) fn command(&self, ram: &Ram, [image, initramfs, gdb]: [&Path; 3]) -> Command {
        let mut qemu = Command::new(self.guest.qemu);
        let [machine, cpu] = self.guest.machine;
        qemu.arg("-kernel").arg(image).arg("-initrd").arg(initramfs);
        let cpu = match self.guest.wide {
            Some((feature, _)) if self.wide => {
                cpu.replace(&format!("{feature}=off"), &format!("{feature}=on"))
            }
            _ => cpu.to_owned(),
        };
        qemu.args(["-cpu", &cpu, "-append", &self.append(), "-m", &format!("{}M", self.memory >> 20)]);
        qemu.args(["-smp", "1", "-nodefaults", "-nographic", "-no-reboot", "-nic", "none"]);
        let several = self.nodes > 1;
        for (n, (path, len)) in ram.files().enumerate() {
            let backend = format!("memory-backend-file,id=m{n},size={len},mem-path={path},share=on");
            qemu.args(["-object", &backend]);
            if several {
                let cpus = if n == 0 { "cpus=0," } else { "" };
                qemu.args(["-numa", &format!("node,{cpus}memdev=m{n}")]);
            }
        }
        qemu.args(["-M", &if several { machine.to_owned() } else { format!("{machine},memory-backend=m0") }]);
        if self.icount {
            qemu.args(["-icount", "shift=0,align=off,sleep=off"]);
        }
        let socket = format!("socket,id=gdb,server=on,wait=off,path={}", gdb.display());
        qemu.args(["-serial", "stdio", "-chardev", &socket, "-gdb", "chardev:gdb"]);
        qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        confine(&mut qemu, self.memory + QEMU_ITSELF);
        qemu
    }
}

/// Says where kernel images are had, where this is none, or where it is cut off.
///
/// # Errors
/// That sentence.
pub fn look_for_image(path: &Path) -> Result<(), RealError> {
    look_for(path, "Debian's linux-image packages contain kernel images, as boot/vmlinuz-*")?;
    look_if_whole(path)
}

/// Says where a file is had that is not there.
fn look_for(path: &Path, how: &str) -> Result<(), RealError> {
    if path.is_file() {
        Ok(())
    } else {
        let what = if path.is_dir() { "Is a directory" } else { "No such file" };
        Err(RealError::Missing(format!("{}: {what}; {how}", path.display())))
    }
}

/// A program that ends with this one, however that ends, and has at most so many bytes of memory.
#[expect(unsafe_code, reason = "a program that is no part of ours must be told before it starts")]
fn confine(command: &mut Command, memory: u64) {
    let tell = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        setrlimit(Resource::As, Rlimit { current: Some(memory), maximum: Some(memory) })?;
        Ok(())
    };
    // SAFETY: between fork and exec it makes two system calls and nothing else.
    unsafe { command.pre_exec(tell) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_no_network_no_disk_and_limited_memory() {
        let guest = &super::super::GUESTS[0];
        let setup = Setup {
            guest,
            image: "Image".into(),
            kernel: "kernel".into(),
            guests: "guests".into(),
            memory: 64 << 20,
            nodes: 1,
            numa_balancing: false,
            swaps: false,
            wide: false,
            icount: false,
            stop: None,
        };
        let ram = Ram::new(guest.ram, setup.memory, 1).expect("there is memory");
        let command = setup.command(&ram, ["kernel", "initramfs", "/tmp/x/gdb"].map(Path::new));
        let args: Vec<String> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let has = |pair: [&str; 2]| args.windows(2).any(|args| args == pair);
        assert!(
            has(["-nic", "none"]) && has(["-m", "64M"]) && args.contains(&"-nodefaults".to_owned()),
            "{args:?}"
        );
        assert!(!args.iter().any(|arg| arg.contains("-drive") || arg.contains("-net")), "{args:?}");
    }

    #[test]
    fn what_is_confined_has_a_limit() {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v"]);
        confine(&mut command, 1 << 30);
        let output = command.output().expect("there is a shell");
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().next(), Some("1048576"));
    }
}
