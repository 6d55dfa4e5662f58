//! Golden files: what real kernels did; and reports of emulated machines in the same shape.

use ptelab_machine::{
    BuildError, CallError, Errno, Level, Outcome, PageRun, Pagemap, Pte, PteView, Run, Runs, Snapshot,
    VirtAddr, VmaFacts, Words,
};
use ptelab_run::{RunReport, json};
use ptelab_scenario::{Diagnostics, Scenario};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, Write};

/// Memory of the machine that a golden file was recorded on, in bytes, where it does not say so.
pub const GUEST_MEMORY: u64 = 512 << 20;
/// The addresses whose VMAs golden files list.
pub(crate) const TEST_AREA: (u64, u64) = (0x1000_0000, 0x1_0000_0000);

/// One scenario on one kernel: what every call returned, and every entry at every dump.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Golden {
    /// Name of the scenario.
    pub name: String,
    /// Port.
    pub arch: String,
    /// Kernel release: `6.16.12`.
    pub kernel: String,
    /// Memory of its machine in MiB; 512 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_mib: Option<u64>,
    /// Whether the bits of swap entries have their slots.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub slots: bool,
    /// The lines that ran.
    pub scenario: Vec<String>,
    /// Each call in the order it ran, loops unrolled; `dump`, `numa` and `time` left out.
    pub calls: Vec<GoldenCall>,
    /// Each dump in the order it was taken.
    pub dumps: Vec<GoldenDump>,
}

/// What one call came to: one of the three.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct GoldenCall {
    /// Its text.
    pub call: String,
    /// What it returned, in hex.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ret: Option<String>,
    /// The error number's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub errno: Option<String>,
    /// The signal that a memory access got.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signal: Option<String>,
}

/// The state of a range.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct GoldenDump {
    /// Name, as the scenario gives it.
    pub name: String,
    /// Process.
    pub pid: u32,
    /// First address, in hex.
    pub start: String,
    /// Length in bytes.
    pub len: u64,
    /// VMAs of the test area.
    pub vmas: Vec<GoldenVma>,
    /// Leaf entries, run-length grouped.
    pub entries: Vec<GoldenEntry>,
}

/// One VMA, from smaps.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct GoldenVma {
    /// First address, in hex.
    pub start: String,
    /// End, exclusive, in hex.
    pub end: String,
    /// `rw-p`.
    pub perms: String,
    /// Resident, in KiB.
    pub rss_kb: u64,
    /// Mapped by huge leaves, in KiB.
    pub anon_huge_kb: u64,
    /// Two-letter flags.
    pub vmflags: String,
}

/// Entries that are alike.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct GoldenEntry {
    /// First address, in hex.
    pub va: String,
    /// Level of the tables: 0 PTE, 1 PMD, 2 PUD.
    pub level: u8,
    /// How many.
    pub n: u64,
    /// The raw word without its frame number, in hex; see [`Golden::slots`].
    pub bits: String,
    /// Number of the folio, by first appearance.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub folio: Option<u32>,
    /// Pages in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub folio_pages: Option<u32>,
    /// Where in it the first page lies.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<u32>,
    /// pagemap bits 63:52, in hex.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pagemap: Option<String>,
    /// Map count.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mapcount: Option<u32>,
}

/// Why a golden file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// It is not JSON, or not of this shape.
    #[error("not a golden file: {0}")]
    Json(#[from] serde_json::Error),
    /// Its scenario has mistakes.
    #[error("its scenario does not parse: {0}")]
    Scenario(#[from] Diagnostics),
    /// No rules are known for its kernel.
    #[error("no rules for kernel {0:?}")]
    Kernel(String),
    /// No machine of its kind can be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A field does not hold what it should.
    #[error("{field} of {place}: {value:?} is not {wanted}")]
    Field {
        /// Its name.
        field: &'static str,
        /// Where it is.
        place: String,
        /// What it holds.
        value: String,
        /// What it should hold.
        wanted: &'static str,
    },
}

impl GoldenError {
    fn field(field: &'static str, place: &str, value: &str, wanted: &'static str) -> Self {
        Self::Field { field, place: place.to_owned(), value: value.to_owned(), wanted }
    }
}

impl Golden {
    /// Reads a golden file.
    ///
    /// # Errors
    /// With line and column, where it is not of the shape.
    pub fn parse(text: &[u8]) -> Result<Self, GoldenError> {
        Ok(serde_json::from_slice(text)?)
    }

    /// The name that its file has by custom: `NAME.ARCH.KERNEL.json`, where the kernel is `6.17` and not `6.17.13`.
    pub fn file_name(&self) -> String {
        let series: Vec<&str> = self.kernel.split('.').take(2).collect();
        format!("{}.{}.{}.json", self.name, self.arch, series.join("."))
    }

    /// As a file: a line for each call, VMA and run of entries.
    pub fn to_text(&self) -> String {
        let calls = self.calls.iter().map(spaced).collect::<Vec<_>>().join(",\n  ");
        let dumps = self.dumps.iter().map(GoldenDump::to_text).collect::<Vec<_>>().join(",\n");
        let (name, arch, kernel) = (spaced(&self.name), spaced(&self.arch), spaced(&self.kernel));
        let scenario = self.scenario.iter().map(spaced).collect::<Vec<_>>().join(",\n  ");
        let memory = self.memory_mib.map_or_else(String::new, |mib| format!(" \"memory_mib\": {mib},\n"));
        let slots = if self.slots { " \"slots\": true,\n" } else { "" };
        format!(
            "{{\n \"name\": {name},\n \"arch\": {arch},\n \"kernel\": {kernel},\n{memory}{slots} \"scenario\": [\n  {scenario}\n ],\n \
             \"calls\": [\n  {calls}\n ],\n \"dumps\": [\n{dumps}\n ]\n}}\n"
        )
    }

    /// The scenario that ran.
    ///
    /// # Errors
    /// Where it has mistakes.
    pub fn scenario(&self) -> Result<Scenario, GoldenError> {
        Ok(ptelab_scenario::parse(&self.scenario.join("\n"))?)
    }
}

impl std::fmt::Display for GoldenVma {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { start, end, perms, rss_kb, anon_huge_kb, vmflags } = self;
        write!(f, "{start}-{end} {perms} rss {rss_kb}K, huge {anon_huge_kb}K, {vmflags}")
    }
}

impl GoldenVma {
    /// The same facts as a golden file has them.
    pub fn new(vma: &VmaFacts) -> Self {
        Self {
            start: format!("{:#x}", vma.start.get()),
            end: format!("{:#x}", vma.end.get()),
            perms: vma.perms(),
            rss_kb: vma.rss >> 10,
            anon_huge_kb: vma.anon_huge >> 10,
            vmflags: vma.flags.smaps(),
        }
    }
}

impl GoldenCall {
    /// The same result as a golden file has it.
    pub fn new(call: String, outcome: Outcome) -> Self {
        let (errno, signal, ret) = match outcome {
            Outcome::Value(value) => (None, None, Some(format!("{value:#x}"))),
            Outcome::Mismatch(byte) => (None, None, Some(format!("{byte:#x}"))),
            Outcome::Failed(error) => {
                let (errno, signal) = failure_names(error);
                (errno, signal, None)
            }
        };
        Self { call, ret, errno: errno.map(str::to_owned), signal }
    }
}

impl GoldenEntry {
    fn new(run: &Run) -> Self {
        Self {
            va: format!("{:#x}", run.addr.get()),
            level: run.level as u8,
            n: run.n,
            bits: format!("{:#018x}", run.bits),
            folio: run.page.map(|page| page.folio),
            folio_pages: run.page.map(|page| page.folio_pages),
            offset: run.page.map(|page| page.offset),
            pagemap: run.pagemap.filter(|_| run.page.is_some()).map(|bits| format!("{:#05x}", bits.bits())),
            mapcount: run.page.map(|page| page.mapcount),
        }
    }

    fn run(&self, place: &str) -> Result<Run, GoldenError> {
        let bad = |field, value: &str, wanted| GoldenError::field(field, place, value, wanted);
        let level = *Level::ALL
            .get(usize::from(self.level))
            .ok_or_else(|| bad("level", &self.level.to_string(), "a level from 0 to 4"))?;
        let addr = hex(&self.va).ok_or_else(|| bad("va", &self.va, "an address in hex"))?;
        let bits = hex(&self.bits).ok_or_else(|| bad("bits", &self.bits, "a word in hex"))?;
        let pagemap = self.pagemap.as_deref();
        let pagemap = pagemap
            .map(|text| hex(text).and_then(|bits| u16::try_from(bits).ok()).ok_or(text))
            .transpose()
            .map_err(|text| bad("pagemap", text, "twelve bits in hex"))?
            .map(Pagemap::from_bits_retain);
        // No tree of tables has more entries than this, and sums of it cannot overflow.
        if self.n == 0 || self.n > 1 << (36 - 9 * self.level) || addr >> 56 != 0 {
            return Err(bad("n", &self.n.to_string(), "a number of entries"));
        }
        if self.folio_pages == Some(0) {
            return Err(bad("folio_pages", "0", "a number of pages"));
        }
        if let Some(offset) =
            self.offset.filter(|offset| self.folio_pages.is_none_or(|pages| *offset >= pages))
        {
            return Err(bad("offset", &offset.to_string(), "a page of the folio"));
        }
        let page = self.folio.zip(self.folio_pages).map(|(folio, folio_pages)| PageRun {
            folio,
            folio_pages,
            offset: self.offset.unwrap_or(0),
            repeats: false,
            mapcount: self.mapcount.unwrap_or(0),
            exclusive: None,
        });
        Ok(Run { addr: VirtAddr::new(addr), level, n: self.n, bits, pfn_mask: 0, pagemap, page, view: None })
    }
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// The errno's name, or the signal's, as golden files have them.
fn failure_names(error: CallError) -> (Option<&'static str>, Option<String>) {
    match error {
        CallError::Errno(errno) => (Some(errno.name()), None),
        CallError::OutOfMemory => (Some(Errno::ENOMEM.name()), None),
        CallError::Signal(info) => (None, Some(info.signal.to_string())),
        CallError::NoProcess(_) => (Some(Errno::ESRCH.name()), None),
        // No kernel says this: it would wait, or there is no such call.
        CallError::Migrating | CallError::NotMigrating | CallError::NotEmulated(_) => {
            (Some(Errno::EBUSY.name()), None)
        }
    }
}

/// A value in one line of JSON, with spaces as people write it.
fn spaced(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    let done = value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, Spaced));
    // Strings and numbers can always be written.
    done.map_or_else(|_| String::new(), |()| String::from_utf8_lossy(&text).into_owned())
}

struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

impl GoldenDump {
    fn to_text(&self) -> String {
        let Self { name, pid, start, len, vmas, entries } = self;
        let (name, start) = (spaced(name), spaced(start));
        let vmas = vmas.iter().map(spaced).collect::<Vec<_>>().join(",\n    ");
        let entries = entries.iter().map(spaced).collect::<Vec<_>>().join(",\n    ");
        format!(
            "  {{\n   \"name\": {name},\n   \"pid\": {pid},\n   \"start\": {start},\n   \"len\": {len},\n   \
             \"vmas\": [\n    {vmas}\n   ],\n   \"entries\": [\n    {entries}\n   ]\n  }}"
        )
    }

    /// The same state as a golden file has it. `vmas` are those of the test area.
    pub fn new(name: &str, pid: u32, vmas: &[VmaFacts], snapshot: &Snapshot) -> Self {
        Self {
            name: name.to_owned(),
            pid,
            start: format!("{:#x}", snapshot.start.get()),
            len: snapshot.end.since(snapshot.start),
            vmas: vmas.iter().map(GoldenVma::new).collect(),
            entries: snapshot.runs.as_golden(false).iter().map(GoldenEntry::new).collect(),
        }
    }

    /// How its range is another than that of a snapshot, if it is.
    pub(crate) fn differing_range(&self, snapshot: &Snapshot) -> Option<String> {
        let taken = (snapshot.start.get(), snapshot.end.since(snapshot.start));
        let is_same = (hex(&self.start), self.len) == (Some(taken.0), taken.1);
        (!is_same).then(|| {
            format!(
                "the file has {} bytes from {} on, the scenario dumps {} from {:#x} on",
                self.len, self.start, taken.1, taken.0
            )
        })
    }

    /// The entries as runs, cut to the range of `snapshot`: an empty entry of a higher level may reach over its edges.
    pub(crate) fn runs(&self, snapshot: &Snapshot, words: &dyn Words) -> Result<Runs, GoldenError> {
        let mut runs = snapshot.runs.emptied();
        for entry in &self.entries {
            let place = format!("dump {:?}, entry {}", self.name, entry.va);
            let past = runs.iter().last().map_or(snapshot.start, |last| runs.end_of(last));
            let mut run = entry.run(&place)?;
            if run.page.is_none() && words.decode(Pte(run.bits), run.level) == PteView::None {
                run.bits = 0;
            }
            if run.addr < past || run.addr >= snapshot.end || !run.addr.is_aligned(snapshot.page_size) {
                let wanted = "a page in the range of the dump, in order and without overlap";
                return Err(GoldenError::field("va", &place, &entry.va, wanted));
            }
            if run.level == Level::Pte && !run.is_none() && runs.end_of(&run) > snapshot.end {
                let wanted = "a number of entries that the dump has room for";
                return Err(GoldenError::field("n", &place, &run.n.to_string(), wanted));
            }
            runs.push(run, snapshot.end);
        }
        Ok(runs)
    }
}

/// A report: its calls and dumps have the shape of golden files.
pub fn report_json(scenario: &Scenario, report: &RunReport) -> Value {
    let calls: Vec<GoldenCall> = scenario
        .steps()
        .zip(&report.results)
        .map(|(step, &outcome)| GoldenCall::new(step.line.to_string(), outcome))
        .collect();
    let dumps: Vec<GoldenDump> = report
        .dumps
        .iter()
        .map(|dump| GoldenDump::new(&dump.name, dump.pid, &dump.vmas, &dump.snapshot))
        .collect();
    let unexpected: Vec<Value> = report
        .unexpected
        .iter()
        .map(|u| serde_json::json!({"line": u.line, "call": u.text, "got": u.outcome.to_string()}))
        .collect();
    serde_json::json!({
        "arch": report.arch,
        "kernel": report.kernel,
        "finished": report.finished,
        "lines": report.lines,
        "calls": calls,
        "calls_left_out": report.lines - report.results.len() as u64,
        "unexpected": unexpected,
        "dumps": dumps,
        "counters": json::counters(report),
        "lines_counters": json::lines(report),
    })
}
