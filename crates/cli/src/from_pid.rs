//! `ptelab from-pid`: the memory of a process, as /proc shows it, as a scenario to start from.

mod areas;

use crate::args;
use crate::exit::FINE;
use crate::output::{self, Failed, Out};
use crate::watch::pages::{self, Run};
use areas::Area;
use ptelab::scenario::Line;
use ptelab::{Access, Advice, Call, FileMode, MapFlags, Prot, ThpKey, ThpMode};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The size of huge pages here, in bytes.
const HUGE_PAGE: &str = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";

pub(crate) fn from_pid(args: &args::FromPid, out: &mut Out) -> Result<u8, Failed> {
    let (pid, name) = (args.pid, args.output.display());
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Failed::Unusable(format!("there is no process {pid}")),
        _ => Failed::Unusable(format!("/proc/{pid}/smaps: {error}")),
    };
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).map_err(unreadable)?;
    let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let areas = areas::parse(&smaps);
    if areas.is_empty() {
        return Err(Failed::Unusable(format!(
            "process {pid} has no memory of its own, as tasks of the kernel have none"
        )));
    }
    let mut text = format!(
        "# Memory of process {pid} ({}), as its smaps and pagemap showed it. Not shown there, and so not here: who else maps its\n\
         # pages, folios smaller than a huge page, what was paged out (used all the same).\n",
        program.trim().replace(char::is_control, " ")
    );
    let huge_page = std::fs::read_to_string(HUGE_PAGE).ok().and_then(|size| size.trim().parse().ok());
    let mut writer = Writer { text: &mut text, files: BTreeMap::new(), huge_page, huge: false };
    writer.line(Call::Page { size: pages::page_size() }, None);
    for area in &areas {
        let runs = pages::runs(pid, (area.start, area.end));
        writer.area(area, &runs);
    }
    let heap = || areas.iter().filter(|area| area.name == "[heap]");
    if let (Some(first), Some(last)) = (heap().next(), heap().next_back()) {
        writer.line(Call::SetBrk { start: first.start, end: last.end }, None);
    }
    output::write_file(&args.output, text.as_bytes())?;
    if output::is_stdout(&args.output) {
        return Ok(FINE);
    }
    let resident: u64 = areas.iter().map(|area| area.rss).sum();
    out.line(format!(
        "{name}: {} mappings, {}M resident; `ptelab run {name}` builds them",
        areas.len(),
        resident >> 20
    ))?;
    Ok(FINE)
}

/// Writes mappings, and what is in them.
struct Writer<'a> {
    text: &'a mut String,
    /// Numbers of files, by path.
    files: BTreeMap<String, i32>,
    /// The size of huge pages, where there are any.
    huge_page: Option<u64>,
    /// Whether they are on.
    huge: bool,
}

impl Writer<'_> {
    fn line(&mut self, call: Call, comment: Option<String>) {
        let line = Line { pid: None, call, expect: None, comment, line: 0 };
        let _ = writeln!(self.text, "{}", line.with_comment());
    }

    fn area(&mut self, area: &Area, runs: &[Run]) {
        let (addr, len) = (area.start, area.end - area.start);
        // What was written and may not be any more was writable once.
        let written = runs.iter().any(|run| run.anon) && !area.is_special() && !area.shared;
        let prot = if written { area.prot | Prot::READ | Prot::WRITE } else { area.prot };
        let adopted = self.adopt(area, prot);
        let comment = (!area.name.is_empty()).then(|| format!(" {}", area.name));
        self.line(adopted, comment);
        for advice in area.advices() {
            self.line(Call::Madvise { addr, len, advice }, None);
        }
        if !area.is_special() {
            let mut huge = area.anon_huge;
            for run in runs {
                self.touch(area, run, &mut huge);
            }
        }
        if prot != area.prot {
            self.line(Call::Mprotect { addr, len, prot: area.prot }, None);
        }
        if area.has("lo") {
            self.line(Call::Mlock { addr, len }, None);
        }
        if area.has("sl") {
            self.line(Call::Mseal { addr, len, flags: 0 }, None);
        }
    }

    fn adopt(&mut self, area: &Area, prot: Prot) -> Call {
        let (addr, len) = (area.start, area.end - area.start);
        let sharing = if area.shared { MapFlags::SHARED } else { MapFlags::PRIVATE };
        let (mut flags, mut fd, mut offset, mut name) = (sharing, -1, 0, None);
        if area.has("gd") {
            flags |= MapFlags::GROWSDOWN | MapFlags::ANONYMOUS;
        } else if area.is_special() {
            flags |= MapFlags::ANONYMOUS;
            name = Some(area.name.clone());
        } else if area.file {
            (fd, offset) = (self.open(&area.name), area.offset);
        } else {
            flags |= MapFlags::ANONYMOUS;
        }
        Call::Adopt { addr, len, prot, flags, fd, offset, name }
    }

    fn open(&mut self, path: &str) -> i32 {
        if let Some(&fd) = self.files.get(path) {
            return fd;
        }
        let fd = self.files.len() as i32;
        let mode = FileMode::READ | FileMode::WRITE;
        self.line(Call::Open { path: path.to_owned(), mode, size: None }, None);
        self.files.insert(path.to_owned(), fd);
        fd
    }

    /// Uses pages; whole blocks with huge pages, as long as the mapping has some.
    fn touch(&mut self, area: &Area, run: &Run, left: &mut u64) {
        let writes = run.anon || area.shared && area.prot.contains(Prot::WRITE);
        let access = if writes { Access::Write } else { Access::Read };
        let Some(size) = self.huge_page.filter(|_| run.anon) else {
            return self.used((run.start, run.end), access, None);
        };
        let (from, to) = (run.start.next_multiple_of(size), run.end - run.end % size);
        let block = to.saturating_sub(from).min(*left - *left % size);
        *left -= block;
        self.used((run.start, from.min(run.end)), access, None);
        self.used((from, from + block), access, Some(size));
        self.used(((from + block).min(run.end), run.end), access, None);
    }

    fn used(&mut self, (start, end): (u64, u64), access: Access, huge: Option<u64>) {
        if start >= end {
            return;
        }
        let mode = if huge.is_some() { ThpMode::Always } else { ThpMode::Never };
        if let Some(size) = self.huge_page.filter(|_| self.huge != huge.is_some()) {
            self.line(Call::Thp { size: ThpKey::Kb(size >> 10), mode }, None);
            self.huge = huge.is_some();
        }
        self.line(Call::Touch { addr: start, len: end - start, access }, None);
    }
}

impl Area {
    /// What was advised of it, where its flags say so.
    fn advices(&self) -> impl Iterator<Item = Advice> {
        const BY_FLAG: [(&str, Advice); 7] = [
            ("hg", Advice::HUGEPAGE),
            ("nh", Advice::NOHUGEPAGE),
            ("dc", Advice::DONTFORK),
            ("wf", Advice::WIPEONFORK),
            ("mg", Advice::MERGEABLE),
            ("rr", Advice::RANDOM),
            ("sr", Advice::SEQUENTIAL),
        ];
        BY_FLAG.into_iter().filter(|(flag, _)| self.has(flag) && !self.is_special()).map(|(_, advice)| advice)
    }
}
