//! A program that broke a check, as a scenario and as a C program for a real kernel.

use super::case::Found;
use super::program::{BASE, ELSEWHERE};
use ptelab_machine::uapi::{Class, Value};
use ptelab_machine::{Access, Call, Switch};
use ptelab_scenario::Line;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The scenario, with what it broke as a comment. `bug` names what was broken on purpose, if anything was.
pub fn scenario_text(found: &Found, bug: Option<&str>) -> String {
    let mut text = format!("# {}\n", found.violation.check.law());
    for line in found.violation.text.lines() {
        let _ = writeln!(text, "# {line}");
    }
    let _ = writeln!(
        text,
        "# on {}{}",
        found.machine,
        bug.map_or_else(String::new, |bug| format!(", with {bug}"))
    );
    for line in &found.lines {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// The same as a file that shows words: it ends with dumps of what the program named, in each process that is left.
pub fn scenario_file(found: &Found) -> String {
    let mut text = scenario_text(found, None);
    let (mut left, mut made) = (BTreeSet::from([1]), 1);
    for line in &found.lines {
        match line.call {
            Call::Fork {} => {
                made += 1;
                left.insert(made);
            }
            Call::ExitGroup { .. } => {
                left.remove(&line.pid.unwrap_or(1));
            }
            _ => {}
        }
    }
    let ranges: Vec<(u64, u64)> = found.lines.iter().flat_map(|line| line.call.ranges()).collect();
    for (base, place) in [(BASE, ""), (ELSEWHERE, ", elsewhere")] {
        let here = ranges.iter().filter(|(addr, _)| (base..base + (ELSEWHERE - BASE)).contains(addr));
        let ends = here.clone().map(|(addr, len)| addr + len.max(&1)).max();
        let Some((start, end)) = here.map(|(addr, _)| *addr).min().zip(ends) else { continue };
        let start = start & !(DUMPED - 1);
        let len = (end - start).next_multiple_of(DUMPED);
        for pid in &left {
            let call = Call::Dump { addr: start, len, name: format!("end of process {pid}{place}") };
            let _ = writeln!(text, "{}", Line { pid: (*pid > 1).then_some(*pid), ..Line::new(call) });
        }
    }
    text
}

/// Bytes of which dumps are multiples: pages of every port are.
const DUMPED: u64 = 1 << 16;

const HEAD: &str = include_str!("emit.c");

/// Where in the head the settings go.
const SETTINGS: &str = "/* SETTINGS */";

/// Where the switches of huge pages are.
const THP: &str = "/sys/kernel/mm/transparent_hugepage";

const TAIL: &str = r"	while (wait(0) > 0)
		;
	return 0;
}
";

/// A C program that makes the same calls on a real kernel, as root where sysfs is written, and prints their results.
/// Calls that a program cannot make (a migration that stands still, a device) are printed as such. However the program ends, but for
/// a SIGKILL, it puts back what it set.
pub fn c_program(lines: &[Line]) -> String {
    let mut text = HEAD.replace(SETTINGS, &settings(lines));
    let mut children = 1;
    for (i, line) in lines.iter().enumerate() {
        let pid = line.pid.unwrap_or(1);
        let _ = writeln!(text, "\twhile (*turn < {i})\n\t\tsched_yield();\n\tif (me == {pid}) {{");
        children += u32::from(line.call == Call::Fork {});
        let _ = match &line.call {
            Call::Fork {} => writeln!(text, "\t\tif (fork() == 0)\n\t\t\tme = {children};"),
            Call::ExitGroup { status } => writeln!(text, "\t\t*turn = {};\n\t\t_exit({status});", i + 1),
            call => writeln!(text, "{}", c_statement(i, call)),
        };
        // After a fork both sides come here; the parent takes the next turn.
        let _ = writeln!(text, "\t\tif (me == {pid})\n\t\t\t*turn = {};\n\t}}", i + 1);
    }
    text + TAIL
}

/// The files that a program writes to, as rows of a table.
fn settings(lines: &[Line]) -> String {
    let files = lines.iter().filter_map(|line| match &line.call {
        Call::Thp { size, .. } => Some(format!("{{ \"{THP}/{}\", \"\" }},", size.file())),
        _ => None,
    });
    files.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("\n\t")
}

fn c_statement(i: usize, call: &Call) -> String {
    let shown = call.to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let Some(made) = c_call(call) else { return format!("\t\tnot_made({i}, \"{shown}\");") };
    format!(
        "\t\tif (!(sig = sigsetjmp(jump, 1)))\n\t\t\tresult({i}, \"{shown}\", (long)({made}));\n\t\telse\n\t\t\tsignalled({i}, \"{shown}\", sig);"
    )
}

/// The expression that makes a call; nothing where no program can.
fn c_call(call: &Call) -> Option<String> {
    let placed = call.placed();
    let arguments = || Some(placed.values().iter().map(c_argument).collect::<Option<Vec<_>>>()?.join(", "));
    let name = call.name();
    if call.form().class == Class::Memory {
        return Some(format!("syscall(SYS_{})", [name, &arguments()?].join(", ").trim_end_matches(", ")));
    }
    Some(match call {
        Call::Reclaim { addr, len } => format!("madvise((void *){addr:#x}, {len}, MADV_PAGEOUT)"),
        Call::Hwpoison { addr } => format!("madvise((void *){addr:#x}, 4096, MADV_HWPOISON)"),
        Call::SoftOffline { addr } => {
            format!("madvise((void *){addr:#x}, 4096, 101 /* MADV_SOFT_OFFLINE */)")
        }
        Call::Memset { addr, byte, len } => format!("set((void *){addr:#x}, {byte}, {len})"),
        Call::ExplicitBzero { addr, len } => format!("set((void *){addr:#x}, 0, {len})"),
        Call::Touch { addr, len, access } => {
            format!("touch((void *){addr:#x}, {len}, {})", u8::from(*access == Access::Write))
        }
        Call::Check { addr, .. } => format!("*(volatile unsigned char *){addr:#x}"),
        Call::ClearRefs { what } => format!("write_file(\"/proc/self/clear_refs\", \"{what}\")"),
        Call::Thp { size, mode } => {
            format!("write_file(\"{THP}/{}\", \"{}\")", size.file(), mode.name())
        }
        Call::Uffd { .. } | Call::PagemapScan { .. } => format!("{name}({})", arguments()?),
        Call::UffdUnregister { addr, len } => format!("uffd_range(UFFDIO_UNREGISTER, {addr:#x}, {len}, 0)"),
        Call::UffdWp { addr, len, how } => {
            let on = u8::from(*how == Switch::On);
            format!("uffd_range(UFFDIO_WRITEPROTECT, {addr:#x}, {len}, {on})")
        }
        Call::UffdPoison { addr, len } => format!("uffd_range(POISON, {addr:#x}, {len}, 0)"),
        Call::Mmap { .. }
        | Call::Munmap { .. }
        | Call::Mprotect { .. }
        | Call::Madvise { .. }
        | Call::Mremap { .. }
        | Call::Fork { .. }
        | Call::ExitGroup { .. }
        | Call::SplitFolio { .. }
        | Call::Numa { .. }
        | Call::Page { .. }
        | Call::NumaAlloc { .. }
        | Call::NumaScan { .. }
        | Call::Swapon { .. }
        | Call::MigrateBegin { .. }
        | Call::MigrateEnd { .. }
        | Call::Dump { .. }
        | Call::Time { .. }
        | Call::Mlock { .. }
        | Call::Mlock2 { .. }
        | Call::Munlock { .. }
        | Call::Mlockall { .. }
        | Call::Munlockall { .. }
        | Call::Msync { .. }
        | Call::PkeyAlloc { .. }
        | Call::PkeyFree { .. }
        | Call::PkeyMprotect { .. }
        | Call::Mseal { .. }
        | Call::DevicePrivate { .. }
        | Call::DeviceExclusive { .. }
        | Call::Brk { .. }
        | Call::Mincore { .. }
        | Call::ProcessMadvise { .. }
        | Call::SetVmaAnonName { .. }
        | Call::SetThpDisable { .. }
        | Call::GetThpDisable { .. }
        | Call::Shmget { .. }
        | Call::Shmat { .. }
        | Call::Shmdt { .. }
        | Call::ShmRmid { .. }
        | Call::CloneVm { .. }
        | Call::Execve { .. }
        | Call::Open { .. }
        | Call::Pwrite { .. }
        | Call::Adopt { .. }
        | Call::SetBrk { .. }
        | Call::SetupStack { .. } => return None,
    })
}

/// An argument as a number that C reads.
fn c_argument(value: &Value) -> Option<String> {
    match value {
        Value::Int(int) => Some(int.to_string()),
        // Numbers of a word's size are signed where they are small.
        Value::Number(number) => Some(format!("{number:#x}ul")),
        Value::Missing => Some("0ul".to_owned()),
        Value::ThpKey(_) | Value::Text(_) | Value::Ranges(_) => None,
    }
}
