//! `ptelab watch`: strace runs a program, and beside its lines stands which pages are in use.
//!
//! A sample is taken between two lines: who lives by the lines that strace has written, then which mappings there are, which of their
//! pages are in use, and every line that was written meanwhile. So a page never stands before the line that mapped it; it stands as
//! early as it can have been used.
//! Programs wait a little before they end, to be seen once more.

pub(crate) mod pages;

use crate::args;
use crate::exit::{DIFFERS, STOPPED};
use crate::output::{self, Failed, Out};
use crate::progress;
use pages::{Mapping, Pages};
use ptelab::replay::{FirstUses, Interval, PagesSeen};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
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
    let failed = |error: &dyn std::fmt::Display| Failed::Unusable(format!("{name}: {error}"));
    args.program.first().into_iter().for_each(|program| output::keep(Path::new(program)));
    output::check(&args.output)?;
    let part = tempfile::NamedTempFile::new().map_err(|error| failed(&error))?;
    progress::stop_on("waiting for the program to end; Ctrl-C again ends at once");
    let mut strace = start(args, part.path())?;
    let begun = Instant::now();
    let mut log = Log::new(part.path(), &args.output).map_err(|error| failed(&error))?;
    let mut looking = Duration::ZERO;
    let status = loop {
        let ended = strace.try_wait().map_err(|error| failed(&error))?;
        let look = Instant::now();
        log.sample()?;
        looking += look.elapsed();
        if let Some(status) = ended {
            break status;
        }
        std::thread::sleep(every);
    };
    log.finish()?;
    if log.lines == 0 {
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
    path: PathBuf,
    /// The file at that path, once there is a line for it.
    to: Option<Box<dyn Write + Send>>,
    /// The beginning of a line that strace has not ended.
    part: Vec<u8>,
    /// The tasks that live, and their processes.
    alive: BTreeMap<u32, u32>,
    /// Processes that were made by others, and have executed no program since.
    children: BTreeSet<u32>,
    /// What was there at the last sample, by process.
    seen: BTreeMap<u32, Seen>,
    first_uses: FirstUses,
    lines: u64,
    samples: u64,
    /// The most that each process had resident, in KiB.
    resident: BTreeMap<u32, u64>,
}

/// What a process had at a sample.
#[derive(Default)]
struct Seen {
    pages: Pages,
    mappings: Vec<Mapping>,
}

impl Log {
    fn new(from: &Path, to: &Path) -> std::io::Result<Self> {
        Ok(Self {
            from: BufReader::new(File::open(from)?),
            path: to.to_owned(),
            to: None,
            part: Vec::new(),
            alive: BTreeMap::new(),
            children: BTreeSet::new(),
            seen: BTreeMap::new(),
            first_uses: FirstUses::new(pages::page_size()),
            lines: 0,
            samples: 0,
            resident: BTreeMap::new(),
        })
    }

    /// Copies what there is by now, and says which pages are in use that were not at the last sample.
    fn sample(&mut self) -> Result<(), Failed> {
        // Who makes calls is to be looked at before the lines of the calls are written.
        let mut text = self.read_lines()?;
        text.lines().for_each(|line| self.meet(line));
        let processes: BTreeSet<u32> = self.alive.values().copied().collect();
        let found: Vec<(u32, u32, Seen)> =
            processes.into_iter().filter_map(|process| self.look_at(process)).collect();
        // strace writes a call's line before its task goes on: what maps the pages that were found is among these.
        let more = self.read_lines()?;
        more.lines().for_each(|line| self.meet(line));
        let [earlier, later] = [&text, &more].map(|text| self.interval(text));
        text += &more;
        let interval = self.interval(&text);
        let mut looks = Vec::new();
        for (process, task, Seen { pages, mappings }) in found {
            let before = self.seen.entry(process).or_default();
            let kept = before.pages.without(&Pages::from(earlier.replaced(process)));
            // What lines show to be replaced meanwhile is looked at again.
            let replaced = Pages::from(later.replaced(process));
            let new = if replaced.is_all() { Vec::new() } else { pages.without(&kept).0 };
            let now = Seen { pages: pages.without(&replaced), mappings };
            let before = std::mem::replace(before, now);
            looks.push((task, PagesSeen { process, new, mapped: before.mappings }));
        }
        self.samples += looks.len() as u64;
        let (tasks, looks): (Vec<u32>, Vec<PagesSeen>) = looks.into_iter().unzip();
        // A first thread that has ended has no more lines.
        let names: BTreeMap<u32, u32> = looks.iter().map(|look| look.process).zip(tasks).collect();
        self.write(&text, &interval, &looks, &names)?;
        for (process, task) in names {
            // What came and went between two looks is in the kernel's own count only.
            if let Some(most) = pages::most_resident(task)
                && self.resident.insert(process, most).is_none_or(|before| before < most)
            {
                self.line(format_args!("{task} +++ had {} resident +++", most << 10))?;
            }
        }
        Ok(())
    }

    fn interval(&self, text: &str) -> Interval {
        Interval::read(text, |task| self.alive.get(&task).copied().unwrap_or(task))
    }

    /// A process, a task that /proc shows its memory by, as one that has ended has none, and what it has.
    fn look_at(&self, process: u32) -> Option<(u32, u32, Seen)> {
        let tasks = self.alive.iter().filter(|(_, of)| **of == process).map(|(task, _)| *task);
        let mut mapped = tasks.map(|task| (task, pages::mappings(task)));
        let (task, mappings) = mapped.find(|(_, mappings)| !mappings.is_empty())?;
        let pages = Pages::of(task, &mappings, self.children.contains(&process));
        Some((process, task, Seen { pages, mappings }))
    }

    /// The lines that strace has ended since.
    fn read_lines(&mut self) -> Result<String, Failed> {
        while self.from.read_until(b'\n', &mut self.part)? > 0 {}
        let ended = self.part.iter().rposition(|&c| c == b'\n').map_or(0, |at| at + 1);
        let rest = self.part.split_off(ended);
        let read = std::mem::replace(&mut self.part, rest);
        Ok(String::from_utf8_lossy(&read).replace(DELAYED, ""))
    }

    /// Writes lines, and between them the pages in use; `names` are tasks that stand for processes.
    fn write(
        &mut self,
        text: &str,
        interval: &Interval,
        looks: &[PagesSeen],
        names: &BTreeMap<u32, u32>,
    ) -> Result<(), Failed> {
        let mut uses = self.first_uses.of(interval, looks).into_iter().peekable();
        for (n, line) in (0..).zip(text.lines().map(Some).chain([None])) {
            while let Some(used) = uses.next_if(|used| used.after <= n) {
                let name = names.get(&used.process).unwrap_or(&used.process);
                self.line(format_args!("{name} +++ in use {} +++", Pages::from(used.pages)))?;
            }
            line.map_or(Ok(()), |line| self.copy(line))?;
        }
        Ok(())
    }

    /// Takes in who lives, by a line.
    fn meet(&mut self, text: &str) {
        let Some(task) = task_of(text) else { return };
        if has_ended(text) {
            return;
        }
        self.add(task);
        // A child may live without a call that is in the log.
        if let Some(child) = made_task(text) {
            self.add(child);
        }
        let executes = text.contains(" execve(") || text.contains("<... execve resumed>");
        if executes && text.contains(" = 0") {
            self.children.remove(&task);
        }
    }

    fn copy(&mut self, text: &str) -> Result<(), Failed> {
        self.line(format_args!("{text}"))?;
        let Some(task) = task_of(text) else { return Ok(()) };
        if has_ended(text) {
            self.alive.remove(&task);
            if !self.alive.values().any(|process| *process == task) {
                self.seen.remove(&task);
            }
        } else if self.lines == 1 {
            // From here on, it is not to be guessed.
            self.line(format_args!("{task} +++ in use 0x0+0 +++"))?;
            if let Some(settings) = pages::huge_pages() {
                self.line(format_args!("{task} +++ huge pages {settings} +++"))?;
            }
        }
        Ok(())
    }

    /// A task lives.
    fn add(&mut self, task: u32) {
        if !self.alive.contains_key(&task)
            && let Some(process) = pages::process_of(task)
        {
            if task == process && !self.alive.is_empty() {
                self.children.insert(process);
            }
            self.alive.insert(task, process);
        }
    }

    /// The last sample was taken when strace had ended.
    fn finish(&mut self) -> Result<(), Failed> {
        Ok(self.to.as_mut().map_or(Ok(()), Write::flush)?)
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) -> Result<(), Failed> {
        self.lines += 1;
        let to = match &mut self.to {
            Some(to) => to,
            to => to.insert(output::create(&self.path)?),
        };
        Ok(writeln!(to, "{text}")?)
    }
}

/// Whether a line says that its task is no more.
fn has_ended(text: &str) -> bool {
    text.contains(" +++ ") && !text.contains("superseded")
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
