//! The command line.

use crate::machines;
use crate::names::{KERNELS, PORTS, cpu_help, held_against_help, kernels_help, ports_help, race_help};
use crate::output::Failed;
use clap::{Args as ClapArgs, Parser, Subcommand};
use ptelab::replay::FaultIn;
use ptelab::{Config, DEFAULT_PORTS, HwKind, KernelRules, Matrix, SelectError, ThpKey, ThpMode};
use std::path::PathBuf;

/// A laboratory for page-table code: Linux memory calls over emulated page tables of several architectures.
#[derive(Debug, Parser)]
#[command(name = "ptelab", version, max_term_width = 110, arg_required_else_help = true)]
#[command(
    after_help = "Exit status: 0 fine, 1 a difference or an unexpected result (of series: something wrong), \
    2 usage or unreadable input, 130 stopped by Ctrl-C or SIGTERM."
)]
pub(crate) struct Args {
    /// Log every call to standard error; twice for the steps inside
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a scenario: results, dumps, counters
    #[command(
        after_help = format!("Example: ptelab run fixtures/scenarios/contpte-fold.scn --arch arm64 --kernel {}", machines::before_and_default())
    )]
    Run(Scenario),
    /// Run a scenario on several ports and kernels: where they differ, and what each costs
    #[command(after_help = "Example: ptelab compare fixtures/scenarios/seed.scn")]
    Compare(Scenario),
    /// Compare the emulator with real kernels, word for word: golden files, kernel images, or the running kernel
    #[command(after_help = "Examples: ptelab verify fixtures/golden/*.json\n          \
        ptelab verify --host fixtures/scenarios/*.scn\n          \
        ptelab verify --kernel vmlinuz-6.17-arm64 fixtures/scenarios/contpte-fold.scn\n\
        Debian's packages linux-image-* contain kernel images, as boot/vmlinuz-*. If QEMU or the compiler of the guest program is \
        missing,\na message names its Debian package.")]
    Verify(Verify),
    /// Replay a strace log of a real program: what its calls return, and what they take
    #[command(
        after_help = "A log is made with: strace -f -y -o LOG -e trace=%memory,%process,openat PROGRAM\n\
        Example: ptelab replay fixtures/strace/python-thp.strace --maps fixtures/strace/python-thp.maps --thp 64kB=always"
    )]
    Replay(Replay),
    /// Run a program under strace, and write its log with the pages that it uses
    #[command(
        after_help = "Example: ptelab watch -o log.strace -- python3 program.py && ptelab replay log.strace"
    )]
    Watch(Watch),
    /// Write the memory of a running process as a scenario to start from
    #[command(
        after_help = "Example: ptelab from-pid $(pidof java) -o java.scn, to be followed by calls to try"
    )]
    FromPid(FromPid),
    /// Predict how many instructions each mprotect of a scenario takes on real kernels; on a kernel image, count those of all calls
    #[command(
        after_help = format!("Examples: ptelab cost fixtures/scenarios/contpte-fold.scn --arch arm64 --kernel {}\n\
        \x20         ptelab cost --check fixtures/cost/*.json", machines::before_and_after())
    )]
    Cost(Cost),
    /// Time mprotect on layouts, ports and kernels, and on the running kernel beside them
    #[command(after_help = "Example: ptelab bench --layout t1,t2,t3 --arch arm64 --vs-host")]
    Bench(Bench),
    /// Check every port against the laws, and find historical bugs again
    #[command(after_help = "Example: ptelab check --arch arm64")]
    Check(Check),
    /// Run random programs through every check, and shorten the first that fails one
    #[command(after_help = "Example: ptelab fuzz --cases 100000 --seed 1 --out found.scn")]
    Fuzz(Fuzz),
    /// Judge a patch series: play scenarios and random programs on a kernel without it and on one with it
    #[command(
        after_help = "Reports what differs, what is wrong with the patched kernel, and what calls cost on each.\n\
        Example: ptelab series --base ../build-base/arch/arm64/boot/Image --patched ../build-patched/arch/arm64/boot/Image"
    )]
    Series(Series),
    /// Play a scenario for `verify --host`: commands come from the socket on standard input
    #[command(hide = true)]
    HostPlay,
    /// Change settings for `verify --host`, and put them back when standard input closes
    #[command(hide = true)]
    HostKeep,
    /// Write a page that shows page tables call by call, side by side on several ports and kernels
    #[command(
        after_help = format!("Example: ptelab report fixtures/scenarios/contpte-fold.scn -o out.html --arch arm64,x86_64 \
        --kernel {}\nA page opens at a place: out.html#call=17&va=0x40004000", machines::before_and_after())
    )]
    Report(Report),
    /// Show the history of one page-table entry: its word before and after each call, what changed it, and why
    #[command(
        after_help = "by: what wrote the entry. why: what was decided about it. as: what led to that.\n\
        Example: ptelab explain fixtures/scenarios/contpte-unfold.scn --at 6 --va 0x40004000 --arch arm64"
    )]
    Explain(Explain),
    /// Write what happened as a timeline for ui.perfetto.dev, or what each call took as CSV
    #[command(
        after_help = "Example: ptelab timeline fixtures/scenarios/contpte-fold.scn -o out.json --csv out.csv"
    )]
    Timeline(Timeline),
    /// Step through the calls in a terminal, with the same map as the report
    #[command(
        after_help = format!("Example: ptelab step fixtures/scenarios/contpte-fold.scn --arch arm64 --kernel {}", machines::before_and_after())
    )]
    Step(Step),
    /// Learn a kernel's rules: run a probe for each change, then check what was learned with random programs
    #[command(
        after_help = "+ holds, - does not, ? undecided; behind it what the emulator would do otherwise, and what the kernel did.\n\
        Example: ptelab learn vmlinuz-7.2-arm64 -o mine.toml && ptelab kernels 7.3 mine.toml"
    )]
    Learn(Learn),
    /// List what changed between kernels, and when: the rules of one kernel, or how two differ
    #[command(after_help = format!("Examples: ptelab kernels\n          ptelab kernels {}", machines::before_and_after().replace(',', " ")))]
    Kernels(Kernels),
    /// Print the config options that ptelab needs to boot a kernel under QEMU, to append to the .config of `make tinyconfig`
    #[command(after_help = "Example: ptelab kconfig >> .config && make olddefconfig")]
    Kconfig,
    /// List the calls that a scenario can make, with their parameters
    #[command(after_help = "Example: ptelab calls | grep mremap")]
    Calls,
    /// List what machines count, and what each counter means
    #[command(after_help = "Example: ptelab counters | grep TLB")]
    Counters,
    /// List the ports, with their sizes of pages and the features of their CPUs
    #[command(after_help = "Example: ptelab ports")]
    Ports,
    /// Print completions for a shell
    #[command(
        after_help = "Example: ptelab completions bash > ~/.local/share/bash-completion/completions/ptelab"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of the program or of a command, or write them all
    #[command(
        after_help = "Examples: ptelab man compare | man -l -\n          ptelab man -o ~/.local/share/man/man1"
    )]
    Man(Man),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Man {
    /// The command whose page is printed
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    pub(crate) name: Option<String>,
    /// Write every page into this folder instead
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Learn {
    /// A kernel image, or `host`: the running kernel, which shows less
    #[arg(value_name = "KERNEL")]
    pub(crate) kernel: String,
    /// Scenarios that test what was learned against the kernel
    #[arg(value_name = "FILE.scn")]
    pub(crate) files: Vec<PathBuf>,
    /// Write the rules to this file, which --kernel takes
    #[arg(short, long, value_name = "OUT.toml")]
    pub(crate) output: Option<PathBuf>,
    /// Maximum number of random programs that test what was learned against the image
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) cases: u64,
    /// The same seed makes the same programs
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Time limit in minutes for random programs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) minutes: Option<u64>,
    /// Also write golden files of what an image made of the probes to this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) golden: Option<PathBuf>,
    /// Learn as if this release were not known; may be repeated
    #[arg(long, value_name = "RELEASE")]
    pub(crate) forget: Vec<String>,
    #[command(flatten)]
    pub(crate) guest: Guest,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Kernels {
    /// Releases, or files of rules; or one rule, by its name
    #[arg(value_name = "KERNEL", value_parser = KERNELS, hide_possible_values = true)]
    pub(crate) of: Vec<String>,
    /// What changed for this port, or for all
    #[arg(long, value_name = "PORT")]
    pub(crate) arch: Option<String>,
    /// Print the table of changes as a page of documentation
    #[arg(long, conflicts_with_all = ["of", "json"])]
    pub(crate) markdown: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "one for each switch of the command line")]
pub(crate) struct Check {
    #[arg(long, alias = "port", value_name = "PORTS", help = ports_help(), value_parser = PORTS, hide_possible_values = true, default_value = DEFAULT_PORTS)]
    pub(crate) arch: String,
    /// Only the laws
    #[arg(long, conflicts_with = "bugs")]
    pub(crate) laws: bool,
    /// Only the historical bugs
    #[arg(long)]
    pub(crate) bugs: bool,
    #[arg(long, value_name = "KERNEL", help = race_help(), num_args = 0..=1, default_missing_value = KernelRules::DEFAULT.name, conflicts_with_all = ["laws", "bugs"])]
    pub(crate) race: Option<String>,
    /// Run one schedule of --race again, by its id, on one port
    #[arg(long, value_name = "ID", requires = "race")]
    pub(crate) replay: Option<String>,
    /// Seed of the random programs that look for the bugs
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Maximum number of random programs that look for each bug
    #[arg(long, value_name = "N", default_value_t = 4000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) cases: u64,
    /// Show the shortest program that finds each bug
    #[arg(long)]
    pub(crate) programs: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "one for each switch of the command line")]
pub(crate) struct Fuzz {
    #[arg(long, value_name = "PORTS", help = ports_help(), value_parser = PORTS, hide_possible_values = true, default_value = DEFAULT_PORTS)]
    pub(crate) arch: String,
    #[arg(long, value_name = "KERNELS", help = kernels_help("one image alone, as arch/arm64/boot/Image"), value_parser = KERNELS, hide_possible_values = true, default_value = machines::usual())]
    pub(crate) kernel: String,
    /// Switch a CPU feature, as in arm64.hafdbs=off; may be repeated
    #[arg(long, value_name = "PORT.FEATURE=on|off")]
    pub(crate) cpu: Vec<String>,
    /// The same seed makes the same programs
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Maximum number of programs [default: 100000, on an image 1000, or as many as there is time for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) cases: Option<u64>,
    /// Time limit in minutes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) minutes: Option<u64>,
    /// Programs over several tables, with huge pages
    #[arg(long)]
    pub(crate) large: bool,
    /// On an image: go on after the first program that is found, and show all
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// On an image: read page tables when a process or the program ends, not after each call: more programs in the same time.
    /// Calls that would fail a zero page are left out, as each costs a boot
    #[arg(long)]
    pub(crate) look_at_end: bool,
    /// Write the shortest program that breaks a check to this scenario file
    #[arg(long, value_name = "OUT.scn")]
    pub(crate) out: Option<PathBuf>,
    /// Also write it as a C program that runs on a real kernel
    #[arg(long, value_name = "OUT.c")]
    pub(crate) emit_c: Option<PathBuf>,
    /// Show which changes of an entry's state each call has made
    #[arg(long)]
    pub(crate) coverage: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("call").args(["at", "line"]).required(true))]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) traced: Traced,
    /// Stop after this call, counted from 1 in the order in which calls run, as in `report`
    #[arg(long, value_name = "CALL", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) at: Option<u64>,
    /// Like --at, but by line number in the file, as `replay` prints it
    #[arg(long, value_name = "LINE", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) line: Option<u64>,
    /// An address that the entry maps
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) va: u64,
    /// The process, from 1, in the order of forks; of a log also by its number there [default: 1]
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Step {
    #[command(flatten)]
    pub(crate) traced: Traced,
}

#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("written").required(true).multiple(true))]
pub(crate) struct Timeline {
    #[command(flatten)]
    pub(crate) traced: Traced,
    /// Write the timeline to this file
    #[arg(short, long, value_name = "OUT.json", group = "written")]
    pub(crate) output: Option<PathBuf>,
    /// Write what each call took to this file, as CSV
    #[arg(long, value_name = "OUT.csv", group = "written")]
    pub(crate) csv: Option<PathBuf>,
}

/// A scenario or a strace log, and the machines that it is traced on.
#[derive(Debug, ClapArgs)]
pub(crate) struct Traced {
    /// The scenario (.scn) or strace log, gzip'ed or not; - for standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) machines: Machines,
    /// Memory of each machine, with K, M, G or T (powers of 1024)
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64G")]
    pub(crate) memory: u64,
    /// Read FILE as a scenario or as a log, whatever its name
    #[arg(long, value_name = "KIND", value_parser = ["scenario", "log"])]
    pub(crate) input: Option<String>,
    /// In a log: huge pages that the machines allow, as in 64kB=always,enabled=madvise
    #[arg(long, value_name = "SIZE=MODE", value_delimiter = ',', value_parser = thp)]
    pub(crate) thp: Vec<(ThpKey, ThpMode)>,
    /// In a log: which pages the program is assumed to use: none, writable (as soon as they are), or all [default: writable]
    #[arg(long, value_name = "WHICH", value_parser = fault_in)]
    pub(crate) fault_in: Option<FaultIn>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Report {
    #[command(flatten)]
    pub(crate) traced: Traced,
    /// The page to write
    #[arg(short, long, value_name = "OUT.html")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Scenario {
    /// The scenario; - for standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) machines: Machines,
    /// Memory of each machine, with K, M, G or T (powers of 1024) [default: 64G]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// Take the guest program of kernel images from this folder, where `cargo xtask guest` left it, instead of compiling it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) guest: Option<PathBuf>,
    /// Show what each line took, not only each kind of call
    #[arg(long)]
    pub(crate) per_call: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Ports and kernels to run on.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Machines {
    #[arg(long, value_name = "PORTS", value_parser = PORTS, hide_possible_values = true)]
    arch: Option<String>,
    #[arg(long, value_name = "KERNELS", value_parser = KERNELS, hide_possible_values = true)]
    kernel: Option<String>,
    #[arg(long, value_name = "PORT.FEATURE=on|off", help = cpu_help())]
    cpu: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Watch {
    /// The log to write, which replay, report and the others read
    #[arg(short, long, value_name = "OUT.strace")]
    pub(crate) output: PathBuf,
    /// Interval in milliseconds at which to look which pages are in use
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) every: u64,
    /// The program, with its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<std::ffi::OsString>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct FromPid {
    /// The process
    #[arg(value_name = "PID")]
    pub(crate) pid: u32,
    /// The scenario to write
    #[arg(short, long, value_name = "START.scn")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Replay {
    /// The log, gzip'ed or not, or perf.data; - for standard input. Logs of threads of strace -ff -ttt: all of them, or what -o was given
    #[arg(value_name = "LOG", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) machines: Machines,
    /// Memory of each machine, with K, M, G or T (powers of 1024)
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64G")]
    pub(crate) memory: u64,
    /// Huge pages that the machines allow, separated by commas, as in 64kB=always,2048kB=madvise,enabled=madvise
    #[arg(long, value_name = "SIZE=MODE", value_delimiter = ',', value_parser = thp)]
    pub(crate) thp: Vec<(ThpKey, ThpMode)>,
    /// Which pages the program is assumed to use, as a log does not say: none, writable (as soon as they are), or all
    #[arg(long, value_name = "WHICH", value_parser = fault_in, default_value = "writable")]
    pub(crate) fault_in: FaultIn,
    /// Compare with what the program read from /proc/PID/maps, from where it opened that to where it closed it
    #[arg(long, value_name = "FILE")]
    pub(crate) maps: Option<PathBuf>,
    /// Which pages the program uses, as its /proc/PID/smaps said: so much of each mapping; --fault-in is for what that does not show
    #[arg(long, value_name = "FILE")]
    pub(crate) smaps: Option<PathBuf>,
    /// Which pages the program uses, and no others, as pagemap said: lines of `page-types -p PID -L`, or ranges, as in 0x7f0000000000+8192
    #[arg(long, value_name = "FILE", conflicts_with = "smaps")]
    pub(crate) pagemap: Option<PathBuf>,
    /// Replay up to this line of the log
    #[arg(long, value_name = "LINE", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) until: Option<u64>,
    /// List this process only (its number in the log); costs stay those of all
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Show the entries of a range at the end, of the first process or that of --pid, as in 0x7f0000000000,64K
    #[arg(long, value_name = "ADDR,LEN", value_parser = range)]
    pub(crate) dump: Option<(u64, u64)>,
    /// Write the log as a scenario
    #[arg(long, value_name = "OUT.scn")]
    pub(crate) to_scenario: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn fault_in(word: &str) -> Result<FaultIn, String> {
    match word {
        "none" => Ok(FaultIn::None),
        "writable" => Ok(FaultIn::Writable),
        "all" => Ok(FaultIn::All),
        _ => Err("choose from none, writable, all".to_owned()),
    }
}

/// `64kB=always`, `enabled=madvise`
fn thp(text: &str) -> Result<(ThpKey, ThpMode), String> {
    let (key, mode) = text.split_once('=').ok_or("write SIZE=MODE, as in 64kB=always")?;
    let mode = ThpMode::from_name(mode)
        .ok_or_else(|| format!("`{mode}` is not a mode: {}", ThpMode::WORDS.join(", ")))?;
    let key = ThpKey::parse(key)
        .ok_or_else(|| format!("`{key}` is not a size: write it as in sysfs, 64kB, or enabled"))?;
    match key {
        ThpKey::Kb(kb) if !ptelab::thp_sizes().contains(&kb) => {
            Err(format!("no port has huge pages of {key}: choose from {}", machines::thp_sizes()))
        }
        _ => Ok((key, mode)),
    }
}

/// `0x7f0000000000,64K`
fn range(text: &str) -> Result<(u64, u64), String> {
    let (addr, len) = text.split_once(',').ok_or("write ADDR,LEN")?;
    Ok((address(addr)?, size(len)?))
}

/// `0x7f0000000000`
fn address(text: &str) -> Result<u64, String> {
    let hex = |digits| u64::from_str_radix(digits, 16).map_err(|_| "not an address".to_owned());
    match text.strip_prefix("0x") {
        Some(digits) => hex(digits),
        None if text == "0" => Ok(0),
        // What looks like a decimal number is hardly meant to be one.
        None => Err(hex(text).map_or_else(|why| why, |_| format!("not an address: did you mean 0x{text}?"))),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Cost {
    /// A scenario, or a cost file with one inside (then its port and kernel unless told otherwise); - for standard input.
    /// With --check and --calibrate, cost files; on kernel images none is needed: T1, T2, T3 and other calls
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) machines: Machines,
    /// Hold the predictions against what the files measured; status 1 where median or worst error is beyond 5% and 15%
    #[arg(long, conflicts_with_all = ["arch", "kernel", "cpu"])]
    pub(crate) check: bool,
    /// Fit the costs to the files, and print them
    #[arg(long, conflicts_with_all = ["check", "json", "arch", "kernel", "cpu"])]
    pub(crate) calibrate: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) machines: Machines,
    /// Layouts, separated by commas, or all: t1, t2, t3, 16k, 32k, 128k, 256k, 512k, 1m, pmd, half, mixed, single
    #[arg(long, value_name = "LAYOUTS", default_value = "all")]
    pub(crate) layout: String,
    /// Primitives, separated by commas: plain, counting, recording
    #[arg(long, value_name = "KINDS", default_value = "plain", value_delimiter = ',', value_parser = hw_kind)]
    pub(crate) machine: Vec<HwKind>,
    /// Bytes that each layout maps, with K, M, G or T (powers of 1024)
    #[arg(long, value_name = "SIZE", value_parser = megabytes, default_value = "1G")]
    pub(crate) size: u64,
    /// Samples of each machine
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: u32,
    /// Also make the same calls on the running Linux kernel, in turn with the emulated machines
    #[arg(long)]
    pub(crate) vs_host: bool,
    /// Instead: 4K pages from 1M up to SIZE mapped, written, protected and dumped
    #[arg(long, value_name = "SIZE", value_parser = megabytes, conflicts_with_all = ["layout", "machine", "vs_host", "size"])]
    pub(crate) scale: Option<u64>,
    /// Instead: the project's own targets, each with what was measured now
    #[arg(long, conflicts_with_all = ["arch", "kernel", "cpu", "layout", "machine", "vs_host", "size", "scale", "rounds"])]
    pub(crate) targets: bool,
    /// Instead: print a run that --save wrote
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["arch", "kernel", "cpu", "layout", "machine", "vs_host", "size", "scale", "rounds", "targets", "save", "json"])]
    pub(crate) show: Option<PathBuf>,
    /// Also write the results, with every sample, to a file of this folder that is named by date and host
    #[arg(long, value_name = "FOLDER")]
    pub(crate) save: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn hw_kind(name: &str) -> Result<HwKind, String> {
    let known = || HwKind::ALL.map(HwKind::name).join(", ");
    HwKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("choose from {}", known()))
}

#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "one for each switch of the command line")]
pub(crate) struct Verify {
    /// Golden files; for real kernels, scenarios, or golden files for the scenarios in them
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Play scenarios on the running Linux kernel, in processes of their own, and compare what /proc shows. Run as root to compare more
    #[arg(long)]
    pub(crate) host: bool,
    #[arg(long, value_name = "KERNEL", help = held_against_help(), value_parser = KERNELS, hide_possible_values = true)]
    pub(crate) kernel: Option<String>,
    /// Play scenarios on this kernel image, whatever its name; then --kernel has the rules to compare it with
    #[arg(long, value_name = "IMAGE", conflicts_with = "host", hide = true)]
    pub(crate) qemu: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) guest: Guest,
    /// Write what the image did to this golden file, or to golden files in this folder
    #[arg(long, value_name = "OUT")]
    pub(crate) write: Option<PathBuf>,
    /// Boot the image anew for each scenario
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print only files that differ, and the sum
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Series {
    /// Scenarios, or golden files for their scenarios, to be played before random programs
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The image without the series; one for each architecture
    #[arg(long, value_name = "IMAGE", required = true)]
    pub(crate) base: Vec<PathBuf>,
    /// The image with the series; one for each --base
    #[arg(long, value_name = "IMAGE", required = true)]
    pub(crate) patched: Vec<PathBuf>,
    /// The ports of the images, in the same order, if they cannot be read from them: arm64-16k
    #[arg(long, value_name = "PORT")]
    pub(crate) arch: Vec<String>,
    /// Switch a CPU feature of the machines of an architecture: arm64.lpa2=on, x86_64.la57=on
    #[arg(long, value_name = "PORT.FEATURE=on|off")]
    pub(crate) cpu: Vec<String>,
    /// Take the guest program from this folder, where `cargo xtask guest` left it, instead of compiling it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) guest: Option<PathBuf>,
    /// Maximum number of random programs per architecture
    #[arg(long, alias = "programs", value_name = "N", default_value_t = 500)]
    pub(crate) cases: u64,
    /// Time limit in minutes for the random programs of each architecture
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) minutes: u64,
    /// Seed of the random programs; which are varied depends on what the kernels did
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Do not measure what calls take
    #[arg(long)]
    pub(crate) no_cost: bool,
    /// Write a text for the cover letter; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) letter: Option<PathBuf>,
    /// Write a page that shows all of it
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write C programs that make the calls of each finding into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) emit_c: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How kernel images are played.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct Guest {
    /// The port of an image, if it cannot be read from the image: arm64-16k
    #[arg(long = "arch", value_name = "PORT")]
    pub(crate) port: Option<String>,
    /// Switch a CPU feature of an image's machine: arm64.lpa2=on, x86_64.la57=on
    #[arg(long, value_name = "PORT.FEATURE=on|off")]
    pub(crate) cpu: Vec<String>,
    /// Take the guest program from this folder, where `cargo xtask guest` left it, instead of compiling it
    #[arg(long = "guest", value_name = "FOLDER")]
    pub(crate) program: Option<PathBuf>,
}

impl Guest {
    /// An error where one of these is given and there is no image.
    pub(crate) fn refuse(&self) -> Result<(), Failed> {
        let Self { port, cpu, program } = self;
        let given = [("--arch", port.is_some()), ("--cpu", !cpu.is_empty()), ("--guest", program.is_some())];
        machines::refuse_without_image(&given)
    }
}

impl Scenario {
    /// The kernel images among the kernels that the options name.
    pub(crate) fn images(&self) -> Vec<PathBuf> {
        self.machines.images()
    }

    /// Whether nothing but images is named.
    pub(crate) fn images_only(&self) -> bool {
        self.machines.images_only()
    }

    /// The machines that the options choose; `arch` and `kernel` where they say nothing.
    pub(crate) fn matrix(&self, arch: &str, kernel: &str) -> Result<Matrix, SelectError> {
        let matrix = self.machines.without_images().matrix(arch, kernel)?;
        Ok(self.memory.map_or(matrix.clone(), |bytes| matrix.memory(bytes)))
    }
}

impl Machines {
    /// The kernel images among the kernels that the options name.
    pub(crate) fn images(&self) -> Vec<PathBuf> {
        machines::images(self.kernel.as_deref().unwrap_or_default())
    }

    /// Whether nothing but images is named.
    pub(crate) fn images_only(&self) -> bool {
        !self.images().is_empty()
            && self.kernel.as_deref().is_some_and(|names| machines::emulated(names).is_empty())
    }

    /// The switches of CPUs.
    pub(crate) fn switches(&self) -> &[String] {
        &self.cpu
    }

    /// How images are played.
    pub(crate) fn guest(&self) -> Guest {
        Guest { port: self.arch.clone(), cpu: self.cpu.clone(), program: None }
    }

    /// The same options without kernel images.
    pub(crate) fn without_images(&self) -> Self {
        let named = self.kernel.as_deref().map(machines::emulated);
        let named = named.filter(|named| !named.is_empty() || self.images().is_empty());
        Self { kernel: named, ..self.clone() }
    }

    /// The machines that the options choose; `arch` and `kernel` where they say nothing.
    pub(crate) fn matrix(&self, arch: &str, kernel: &str) -> Result<Matrix, SelectError> {
        let matrix = Matrix::new().ports(self.arch.as_deref().unwrap_or(arch))?;
        let mut matrix = machines::of(matrix, self.kernel.as_deref().unwrap_or(kernel))?;
        for switch in &self.cpu {
            matrix = matrix.cpu(switch)?;
        }
        for builder in matrix.builders() {
            builder.check()?;
        }
        Ok(matrix)
    }
}

/// `64G` in bytes.
fn megabytes(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if bytes > 0 && bytes.is_multiple_of(1 << 20) {
        Ok(bytes)
    } else {
        Err("not a multiple of 1M".to_owned())
    }
}

fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, unit)) if !unit.is_ascii_digit() => {
            let shift = "KMGT".find(unit).map(|i| 10 * (i as u32 + 1));
            (&text[..at], shift.ok_or_else(|| format!("`{unit}` is not a unit: K, M, G or T"))?)
        }
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "not a number of bytes".to_owned())?;
    number
        .checked_mul(1 << shift)
        .filter(|&bytes| bytes <= Config::MAX_MEMORY)
        .ok_or_else(|| "more than a machine can have (8T)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("64K"), Ok(64 << 10));
        assert_eq!(size("4096"), Ok(4096));
        for wrong in ["", "G", "64X", "64GB", "-1", "99999999999T", "6µ"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
