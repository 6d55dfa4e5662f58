//! Which machine and kernel this is.

use std::fs;

/// The host, as results name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Operating system and kernel release: `Linux 6.18.44`.
    pub kernel: String,
    /// Model of the CPU, where it is known.
    pub cpu: Option<String>,
    /// CPUs that this process may use.
    pub cpus: usize,
}

/// The facts of this host.
pub fn facts() -> Facts {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let kernel = release.map_or_else(|| std::env::consts::OS.to_owned(), |r| format!("Linux {}", r.trim()));
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let cpu = model.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned());
    Facts { kernel, cpu, cpus: std::thread::available_parallelism().map_or(1, usize::from) }
}

/// Memory of this process that is resident, in bytes; `None` where the host does not say.
pub fn resident() -> Option<u64> {
    status("/proc/self/status", "VmRSS:")
}

/// Memory available without swapping, in bytes; `None` where the host does not say.
pub fn available() -> Option<u64> {
    status("/proc/meminfo", "MemAvailable:")
}

/// A line `NAME   N kB` of a file under /proc, in bytes.
fn status(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What decides how memory calls come out here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMachine {
    /// Kernel release: `6.18.44`.
    pub release: String,
    /// Architecture, as uname says it: `x86_64`, `aarch64`.
    pub arch: String,
    /// Bytes in a page.
    pub page_size: u64,
    /// Memory, in bytes.
    pub memory: u64,
    /// NUMA nodes.
    pub nodes: u64,
    /// Whether there is swap.
    pub swap: bool,
    /// The flags of a CPU in /proc/cpuinfo.
    pub cpu_flags: Vec<String>,
}

/// The machine this is; nothing where that is no Linux.
pub fn machine() -> Option<HostMachine> {
    let nodes = fs::read_dir("/sys/devices/system/node").map_or(1, |entries| {
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let numbers = names.filter_map(|name| name.strip_prefix("node")?.parse::<u32>().ok());
        numbers.count() as u64
    });
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    let flags = flags.and_then(|line| line.split_once(':')).map_or("", |(_, flags)| flags);
    Some(HostMachine {
        release: fs::read_to_string("/proc/sys/kernel/osrelease").ok()?.trim().to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        page_size: page_size()?,
        memory: status("/proc/meminfo", "MemTotal:")?,
        nodes,
        swap: status("/proc/meminfo", "SwapTotal:")? > 0,
        cpu_flags: flags.split_ascii_whitespace().map(str::to_owned).collect(),
    })
}

/// Bytes in a page, from what the kernel says of this program's own memory.
fn page_size() -> Option<u64> {
    status("/proc/self/smaps", "KernelPageSize:")
}
