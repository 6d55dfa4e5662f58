//! `ptelab watch`: strace runs a program, and beside its lines stands which pages are in use.
//!
//! A sample is taken between two lines: first which mappings there are, then every line that strace has written by now, then which of
//! their pages are in use. So a page never stands before the line that mapped it; it stands as early as it can have been used.
//! Programs wait a little before they end, to be seen once more.

pub(crate) mod pages;

use crate::args;
use crate::exit::{DIFFERS, STOPPED};
use crate::output::{self, Failed, Out};
use crate::progress;
use pages::{Mapping, PAGE, Pages};
use ptelab::replay;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The calls that a replay looks at.
const CALLS: &str = "trace=%memory,%process,openat,prctl,shmget,shmat,shmdt,shmctl";

/// What shells add to the number of a signal that ended a program.
const SIGNALLED: i32 = 128;
/// What Ctrl-C sends.
const SIGINT: i32 = 2;

/// What strace says of calls that it delays.
const DELAYED: &str = " (DELAYED)";

pub(crate) fn watch(args: &args::Watch, out: &mut Out) -> Result<u8, Failed> {
    let every = Duration::from_millis(args.every);
    let name = args.output.display();
    let part = args.output.with_extension("part");
    let failed = |error: &dyn std::fmt::Display| Failed::Unusable(format!("{name}: {error}"));
    File::create(&part).map_err(|error| failed(&error))?;
    progress::stop_on("waiting for the program to end; Ctrl-C again ends at once");
    let mut strace = start(args, &part)?;
    let begun = Instant::now();
    let mut log = Log::new(&part, &args.output).map_err(|error| failed(&error))?;
    let mut looking = Duration::ZERO;
    let status = loop {
        let ended = strace.try_wait().map_err(|error| failed(&error))?;
        let look = Instant::now();
        log.sample().map_err(|error| failed(&error))?;
        looking += look.elapsed();
        if let Some(status) = ended {
            break status;
        }
        std::thread::sleep(every);
    };
    log.finish().map_err(|error| failed(&error))?;
    let _ = std::fs::remove_file(&part);
    if log.lines == 0 {
        if !output::is_stdout(&args.output) {
            let _ = std::fs::remove_file(&args.output);
        }
        return Err(Failed::Unusable("strace wrote no line: was the program started?".to_owned()));
    }
    let took = begun.elapsed().as_secs_f64();
    if !output::is_stdout(&args.output) {
        let (processes, most) = (log.resident.len(), log.resident.values().max().unwrap_or(&0) / 1024);
        out.line(format!(
            "{name}: {} lines; {} sampled {} times, the largest with {most}M resident; {took:.2} s under strace, of which sampling \
             took {:.2} s",
            log.lines,
            if processes == 1 { "1 process".to_owned() } else { format!("{processes} processes") },
            log.samples,
            looking.as_secs_f64()
        ))?;
    }
    // strace ends as its program does.
    Ok(if progress::stopped() || status.signal() == Some(SIGINT) {
        STOPPED
    } else {
        let signal = || status.signal().map(|signal| SIGNALLED + signal);
        status.code().or_else(signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(DIFFERS)
    })
}

fn start(args: &args::Watch, log: &Path) -> Result<Child, Failed> {
    let wait = format!("inject=exit_group:delay_enter={}", args.every * 2500);
    let mut command = Command::new("strace");
    command.args(["-f", "-q", "-y", "-e", CALLS, "-e", &wait, "-o"]).arg(log).arg("--").args(&args.program);
    command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failed::Unusable("watch needs strace, which is not installed (Debian: strace)".to_owned())
        }
        _ => Failed::Unusable(format!("strace: {error}")),
    })
}

/// strace's log, copied line by line, with the samples in between.
struct Log {
    from: BufReader<File>,
    to: BufWriter<File>,
    /// Lines that strace has written since the last sample, of which it may not have ended the last.
    read: Vec<u8>,
    /// The tasks that live, and their processes.
    alive: BTreeMap<u32, u32>,
    /// What is in use, by process.
    pages: BTreeMap<u32, Looked>,
    lines: u64,
    samples: u64,
    /// The most that each process had resident, in KiB.
    resident: BTreeMap<u32, u64>,
}

/// What a process had at a sample.
#[derive(Default)]
struct Looked {
    pages: Pages,
    mappings: Vec<Mapping>,
}

impl Log {
    fn new(from: &Path, to: &Path) -> std::io::Result<Self> {
        let (from, to) = (BufReader::new(File::open(from)?), BufWriter::new(File::create(to)?));
        let (alive, pages) = (BTreeMap::new(), BTreeMap::new());
        let resident = BTreeMap::new();
        Ok(Self { from, to, read: Vec::new(), alive, pages, lines: 0, samples: 0, resident })
    }

    /// Copies what there is by now, and says which pages are in use that were not at the last sample.
    fn sample(&mut self) -> std::io::Result<()> {
        let processes: BTreeSet<u32> = self.alive.values().copied().collect();
        let mapped: Vec<(u32, Vec<Mapping>)> =
            processes.into_iter().map(|process| (process, pages::mappings(process))).collect();
        let text = self.read_lines()?;
        for line in text.lines().filter(|line| line.contains(" execve(") && line.contains(" = 0")) {
            task_of(line).map(|process| self.pages.remove(&process));
        }
        let mut looks = Vec::new();
        for (process, mappings) in mapped {
            let now = Looked { pages: Pages::of(process, &mappings), mappings };
            let before = self.pages.entry(process).or_default();
            let new = now.pages.without(&before.pages).0;
            let before = std::mem::replace(before, now);
            looks.push(replay::PagesSeen { process, new, mapped: before.mappings });
        }
        self.samples += looks.len() as u64;
        self.write(&text, &looks)?;
        for process in looks.iter().map(|look| look.process) {
            // What came and went between two looks is in the kernel's own count only.
            if let Some(most) = pages::most_resident(process)
                && self.resident.insert(process, most).is_none_or(|before| before < most)
            {
                self.line(format_args!("{process} +++ had {} resident +++", most << 10))?;
            }
        }
        Ok(())
    }

    /// The lines that strace has ended since.
    fn read_lines(&mut self) -> std::io::Result<String> {
        while self.from.read_until(b'\n', &mut self.read)? > 0 {}
        let ended = self.read.iter().rposition(|&c| c == b'\n').map_or(0, |at| at + 1);
        let rest = self.read.split_off(ended);
        let read = std::mem::replace(&mut self.read, rest);
        Ok(String::from_utf8_lossy(&read).replace(DELAYED, ""))
    }

    /// Writes lines, and between them the pages in use.
    fn write(&mut self, text: &str, looks: &[replay::PagesSeen]) -> std::io::Result<()> {
        let is_new = looks.iter().any(|look| !look.new.is_empty());
        let tasks = self.tasks(text);
        let process_of = |task| tasks.get(&task).copied().unwrap_or(task);
        let uses = if is_new { replay::first_uses(text, looks, PAGE, process_of) } else { Vec::new() };
        let mut uses = uses.into_iter().peekable();
        for (n, line) in (0..).zip(text.lines().map(Some).chain([None])) {
            while let Some(used) = uses.next_if(|used| used.after <= n) {
                self.line(format_args!("{} +++ in use {} +++", used.process, Pages(used.pages)))?;
            }
            line.map_or(Ok(()), |line| self.copy(line))?;
        }
        Ok(())
    }

    /// The tasks of lines, with their processes.
    fn tasks(&self, text: &str) -> BTreeMap<u32, u32> {
        let named = text.lines().filter_map(task_of);
        let of = |task| (task, self.alive.get(&task).copied().or_else(|| pages::process_of(task)));
        named.map(of).filter_map(|(task, process)| Some((task, process?))).collect()
    }

    fn copy(&mut self, text: &str) -> std::io::Result<()> {
        let first = self.lines == 0;
        self.line(format_args!("{text}"))?;
        let Some(pid) = task_of(text) else { return Ok(()) };
        if text.contains(" +++ ") && !text.contains("superseded") {
            self.alive.remove(&pid);
            self.pages.remove(&pid);
            return Ok(());
        }
        self.add(pid);
        if first {
            // From here on, it is not to be guessed.
            self.line(format_args!("{pid} +++ in use 0x0+0 +++"))?;
            if let Some(settings) = pages::huge_pages() {
                self.line(format_args!("{pid} +++ huge pages {settings} +++"))?;
            }
        }
        // A child may live without a call that is in the log.
        if let Some(child) = made_task(text) {
            self.add(child);
        }
        Ok(())
    }

    /// A task lives.
    fn add(&mut self, task: u32) {
        if !self.alive.contains_key(&task)
            && let Some(process) = pages::process_of(task)
        {
            self.alive.insert(task, process);
        }
    }

    fn finish(&mut self) -> std::io::Result<()> {
        let text = self.read_lines()?;
        self.write(&text, &[])?;
        self.to.flush()
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) -> std::io::Result<()> {
        self.lines += 1;
        writeln!(self.to, "{text}")
    }
}

/// The task whose line it is.
fn task_of(text: &str) -> Option<u32> {
    text.split(' ').next()?.parse().ok()
}

/// The task that a line shows being made: its number is what the call returned.
fn made_task(text: &str) -> Option<u32> {
    const MAKERS: [&str; 4] = ["clone", "clone3", "fork", "vfork"];
    let call = text.split_once(' ')?.1.trim_start();
    let name = match call.strip_prefix("<... ") {
        Some(resumed) => resumed.split_once(" resumed>")?.0,
        None => call.split_once('(')?.0,
    };
    let (_, result) = text.rsplit_once(" = ").filter(|_| MAKERS.contains(&name))?;
    result.split_whitespace().next()?.parse().ok().filter(|&pid| pid > 0)
}

#[cfg(test)]
mod tests {
    use super::made_task;

    #[test]
    fn children_are_known_by_what_their_makers_return() {
        for (line, made) in [
            (
                "7 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f00) = 8\n",
                Some(8),
            ),
            ("7 vfork( <unfinished ...>\n", None),
            ("7 <... vfork resumed>)             = 9\n", Some(9)),
            ("7 <... clone3 resumed> => {parent_tid=[10]}, 88) = 10\n", Some(10)),
            ("7 fork() = -1 EAGAIN (Resource temporarily unavailable)\n", None),
            ("7 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 12\n", None),
        ] {
            assert_eq!(made_task(line), made, "{line}");
        }
    }
}
