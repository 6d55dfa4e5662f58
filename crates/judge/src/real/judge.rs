//! What a real kernel did, judged: its results and memory by the model, its tables by each other and by laws.

use super::qemu::Player;
use super::recording::{RealDump, Recording};
use super::sound::{Entry, Tables};
use super::{Beside, VerifyError};
use crate::fuzz::{
    Check, Expected, Model, Page, State, Violation, is_kernels_own, result_is_right, says_protected,
};
use crate::golden::Golden;
use ptelab_machine::mm::{Pagemap, Rules};
use ptelab_machine::pgtable::{SoftLeaf, marker};
use ptelab_machine::{Backend, Call, KernelRules, Level, MremapFlags, Outcome, Pid, PteAttrs, PteView};
use ptelab_run::exec::Watch;
use ptelab_scenario::{Line, Scenario};
use std::collections::BTreeMap;

/// What a kernel is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// What its tables say.
    Tables,
    /// The model too: the scenario is a random program with dumps, of which the model knows every call.
    Model,
}

/// A call, what it came to, and the dumps after it.
struct Moment<'a> {
    call: Option<(&'a Line, Outcome)>,
    dumps: Vec<&'a RealDump>,
}

/// The first law that a kernel broke, if it broke any. `rules` are those of the nearest release, whose own bugs are known; `port`
/// reads words.
pub(super) fn wrong(
    recording: &Recording,
    scenario: &Scenario,
    (port, rules): (&dyn Backend, &'static KernelRules),
    (by, soft_dirty): (By, bool),
) -> Option<Violation> {
    let size = port.about().shape.page_size();
    let mut judge = Judge {
        port,
        size,
        rules,
        soft_dirty,
        model: (by == By::Model).then(|| Model::new(size, rules)),
        latest: BTreeMap::new(),
        had_huge: false,
    };
    for moment in moments(recording, scenario) {
        if let Err(violation) = judge.step(&moment) {
            let after = moment.call.map_or_else(String::new, |(line, _)| format!("after {line}: "));
            let text = format!("{after}{}", violation.text);
            let own = moment.call.is_some_and(|(line, _)| is_kernels_own(rules, &line.call, violation.check));
            return (!own).then(|| Violation::new(violation.check, text));
        }
        if moment.call.is_some_and(|(line, got)| ends(&line.call, got)) {
            break;
        }
    }
    None
}

/// As they were played.
fn moments<'a>(recording: &'a Recording, scenario: &'a Scenario) -> Vec<Moment<'a>> {
    let mut calls = recording.calls.iter();
    let mut dumps = recording.dumps.iter().peekable();
    let mut moments = vec![Moment { call: None, dumps: Vec::new() }];
    for step in scenario.steps() {
        let pid = step.line.pid.unwrap_or(1);
        match &step.line.call {
            Call::Numa { .. } | Call::Page { .. } | Call::Time { .. } => {}
            Call::Dump { name, .. } => {
                let taken = dumps.next_if(|dump| dump.pid == pid && dump.name == *name);
                moments.iter_mut().last().into_iter().for_each(|moment| moment.dumps.extend(taken));
            }
            _ => {
                let call = calls.next().map(|call| (step.line, call.reply));
                moments.push(Moment { call, dumps: Vec::new() });
            }
        }
    }
    moments
}

/// Whether nothing says how much of memory a call has moved before it failed.
const fn ends(call: &Call, got: Outcome) -> bool {
    matches!((call, got), (Call::Mremap { flags, .. }, Outcome::Failed(_)) if flags.contains(MremapFlags::DONTUNMAP))
}

impl Player {
    /// Plays a scenario, records it as a golden file, and says the first law that the kernel broke; nothing where it was stopped.
    pub(super) fn judged(
        &mut self,
        scenario: &Scenario,
        beside: &Beside,
        by: By,
        watch: Watch<'_>,
    ) -> Result<Option<(Golden, Option<Violation>)>, VerifyError> {
        let Some(recording) = self.play(scenario, watch)? else { return Ok(None) };
        let soft_dirty = self.facts()?.has("soft_dirty");
        let wrong = wrong(&recording, scenario, (self.words(), beside.rules), (by, soft_dirty));
        Ok(Some((self.as_golden("program", scenario, &recording), wrong)))
    }
}

struct Judge<'a> {
    port: &'a dyn Backend,
    /// Bytes in a page.
    size: u64,
    rules: &'static KernelRules,
    soft_dirty: bool,
    model: Option<Model>,
    /// The last dump of each process and place.
    latest: BTreeMap<(Pid, u64), Tables<'a>>,
    had_huge: bool,
}

impl<'a> Judge<'a> {
    fn step(&mut self, moment: &Moment<'a>) -> Result<(), Violation> {
        for dump in &moment.dumps {
            let tables = Tables::new(dump, self.port);
            self.had_huge |= tables.entries.iter().any(|entry| entry.is_counted() && is_huge(entry));
            self.latest.insert((dump.pid, dump.start), tables);
        }
        if let Some((line, got)) = moment.call {
            if let Call::ExitGroup { .. } = line.call {
                let gone = line.pid.unwrap_or(1);
                self.latest.retain(|(pid, _), _| *pid != gone);
            }
            self.follow(line, got)?;
        }
        for dump in &moment.dumps {
            let tables = &self.latest[&(dump.pid, dump.start)];
            tables.wrong().map_or(Ok(()), Err)?;
            if let Some(model) = &self.model {
                self.areas_are_right(tables, model)?;
                self.pages_are_right(tables, model)?;
            }
        }
        self.counts_are_right(moment)
    }

    /// The model makes a call too.
    fn follow(&mut self, line: &Line, got: Outcome) -> Result<(), Violation> {
        let Some(model) = &mut self.model else { return Ok(()) };
        let pid = line.pid.unwrap_or(1);
        if model.space(pid).is_none() {
            return Ok(());
        }
        let (latest, size) = (&self.latest, self.size);
        let word = |pid: Pid, page: u64| {
            let (_, tables) = latest.range(..=(pid, page * size)).next_back()?;
            let inside = tables.dump.pid == pid && page * size < tables.dump.start + tables.dump.len;
            tables.entry(page * size).filter(|_| inside).map(|entry| entry.view)
        };
        let expected = model.call(line, got, &|pid, page| word(pid, page).unwrap_or(PteView::None));
        if !self.rules.has(Rules::split_zeropage_keeps_soft_dirty) {
            for ((pid, _), tables) in latest {
                for entry in tables.entries.iter().filter(|entry| entry.has(PteAttrs::SPECIAL)) {
                    model.protected_is_believed(*pid, entry.word.addr, &entry.view);
                }
            }
        }
        model.moved_in_part(pid, &line.call, got, |addr| {
            let mut of = latest.range((pid, 0)..=(pid, u64::MAX));
            of.any(|(_, tables)| tables.is_mapped(addr))
        });
        self.is_right(line, expected, got)
    }

    fn is_right(&self, line: &Line, expected: Expected, got: Outcome) -> Result<(), Violation> {
        result_is_right(expected, got)?;
        if !matches!(line.call, Call::ClearRefs { what: 4 }) {
            return Ok(());
        }
        let pid = line.pid.unwrap_or(1);
        for (_, tables) in self.latest.range((pid, 0)..=(pid, u64::MAX)) {
            if let Some(entry) = tables.entries.iter().find(|entry| says(entry, Pagemap::SOFT_DIRTY)) {
                return Err(tables.broken(Check::SoftDirty, entry, "soft-dirty when all was made clean"));
            }
        }
        Ok(())
    }

    fn areas_are_right(&self, tables: &Tables<'_>, model: &Model) -> Result<(), Violation> {
        let dump = tables.dump;
        let Some(space) = model.space(dump.pid) else { return Ok(()) };
        let wrong = |addr: u64, what: String| {
            Err(Violation::new(Check::Vma, format!("{addr:#x} of process {} {what}", dump.pid)))
        };
        let mut pages = space.iter().peekable();
        for area in &tables.areas {
            for at in area.start / self.size..area.end / self.size {
                let Some((_, page)) = pages.next_if(|(page, _)| *page == at) else {
                    let what = if space.has(at) { "and an earlier page is not" } else { "and should not be" };
                    return wrong(at * self.size, format!("is mapped {what}"));
                };
                if page.prot != area.prot {
                    return wrong(at * self.size, format!("has protection {}, not {}", area.prot, page.prot));
                }
                if page.uffd.is_some() != area.is_registered {
                    return wrong(
                        at * self.size,
                        format!("is registered with userfaultfd: {}", area.is_registered),
                    );
                }
            }
        }
        pages.next().map_or(Ok(()), |(at, _)| wrong(at * self.size, "is not mapped".to_owned()))
    }

    fn pages_are_right(&self, tables: &Tables<'_>, model: &Model) -> Result<(), Violation> {
        let dump = tables.dump;
        let Some(space) = model.space(dump.pid) else { return Ok(()) };
        let inside = |addr: u64| (dump.start..dump.start + dump.len).contains(&addr);
        for (at, page) in space.iter().filter(|(at, _)| inside(at * self.size)) {
            let Some(entry) = tables.entry(at * self.size) else { continue };
            let bytes = dump.bytes.get((at - dump.start / self.size) as usize).copied().flatten();
            self.page_is_right(page, entry, bytes).map_err(|(check, what)| {
                tables.broken(check, entry, &format!("page {:#x} {what}", at * self.size))
            })?;
        }
        Ok(())
    }

    fn page_is_right(
        &self,
        page: &Page,
        entry: &Entry,
        bytes: Option<[u8; 4]>,
    ) -> Result<(), (Check, String)> {
        let empty = matches!(entry.view, PteView::None | PteView::Table(_));
        let bytes = bytes.or((empty && !page.is_shared()).then_some([0; 4]));
        if let Some(bytes) = bytes
            && bytes != page.bytes()
        {
            return Err((Check::Contents, format!("holds {bytes:?}, was written {:?}", page.bytes())));
        }
        let leaf = match entry.view {
            PteView::Soft(leaf) => Some(leaf),
            _ => None,
        };
        // The zero page cannot fail.
        if page.has_failed()
            && leaf.is_none()
            && !entry.has(PteAttrs::SPECIAL)
            && !(page.is_shared() && empty)
        {
            return Err((Check::Contents, "failed, and can be reached".to_owned()));
        }
        let guard = |leaf: SoftLeaf| leaf.is_marker(marker::GUARD);
        if page.is(State::GUARD) != leaf.is_some_and(guard) {
            return Err((
                Check::Results,
                format!("is a guard: {}, and says otherwise", page.is(State::GUARD)),
            ));
        }
        let unsure = page.has_failed() || page.is(State::GUARD) || page.is(State::SLIPPING);
        let protected = page.is(State::PROTECTED);
        if page.uffd.is_some() && !unsure && protected != says_protected(&entry.view) {
            let text = format!("is write-protected by userfaultfd: {protected}, and says otherwise");
            return Err((Check::Protected, text));
        }
        if page.is_shared() || !entry.is_counted() {
            return Ok(());
        }
        // A folio may be dirty that was mapped by a huge leaf.
        if page.is(State::DIRTY) && !self.had_huge && !self.is_dirty(entry) {
            return Err((Check::Dirty, "was written, and nothing says so".to_owned()));
        }
        if self.soft_dirty && page.is(State::SOFT_DIRTY) && !says(entry, Pagemap::SOFT_DIRTY) {
            return Err((Check::SoftDirty, "was written, and is not soft-dirty".to_owned()));
        }
        Ok(())
    }

    /// Whether it is dirty, or one of a contiguous block is: hardware may have noted it there.
    fn is_dirty(&self, entry: &Entry) -> bool {
        let block = self.port.about().shape.cont_ptes as u64 * self.size;
        if !entry.has(PteAttrs::CONT) || block == 0 {
            return entry.has(PteAttrs::DIRTY);
        }
        let start = entry.word.addr / block * block;
        let of_block = |other: &&Entry| (start..start + block).contains(&other.word.addr);
        let same = |tables: &Tables<'_>| {
            tables.entries.iter().filter(of_block).any(|other| other.has(PteAttrs::DIRTY))
        };
        self.latest.values().any(same)
    }

    /// Pages are mapped as often as they count, where all processes were looked at in one moment.
    fn counts_are_right(&self, moment: &Moment<'_>) -> Result<(), Violation> {
        let looked_at = |key: &(Pid, u64)| moment.dumps.iter().any(|dump| (dump.pid, dump.start) == *key);
        if self.model.is_none() || moment.dumps.is_empty() || !self.latest.keys().all(looked_at) {
            return Ok(());
        }
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        let pages = |tables: &Tables<'_>| {
            let mapped = tables.entries.iter().filter(|entry| entry.is_counted() && !is_huge(entry));
            mapped.filter_map(|entry| entry.mapping().map(|mapping| mapping.pfn.get())).collect::<Vec<_>>()
        };
        if self.had_huge {
            return Ok(());
        }
        self.latest.values().flat_map(pages).for_each(|pfn| *counts.entry(pfn).or_default() += 1);
        for tables in self.latest.values() {
            for entry in tables.entries.iter().filter(|entry| entry.is_counted()) {
                let count = entry.mapping().and_then(|mapping| counts.get(&mapping.pfn.get())).copied();
                let said = entry.page.frame.map(|frame| frame.mapcount);
                if said.is_some() && said != count {
                    let what = format!("{} entries map the page", count.unwrap_or(0));
                    return Err(tables.broken(Check::Mapcount, entry, &what));
                }
            }
        }
        Ok(())
    }
}

fn is_huge(entry: &Entry) -> bool {
    entry.word.level != Level::Pte
}

fn says(entry: &Entry, bit: Pagemap) -> bool {
    Pagemap::from_bits_retain(entry.page.pagemap).contains(bit)
}

#[cfg(test)]
mod tests {
    use super::super::recording::RealCall;
    use super::super::walk::TableWord;
    use super::*;
    use crate::golden::GoldenVma;
    use ptelab_machine::{Builder, CallError, Errno};
    use ptelab_real::{Frame, RealPage};

    const TEXT: &str = "mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n\
        memset(0x40000000, 7, 64K)\nmprotect(0x40000000, 64K, PROT_READ|PROT_WRITE)\ndump(0x40000000, 128K, \"end\")\n";
    /// A dirty page of a block that may be written.
    const WORD: u64 = 0x00f8_0000_0000_0f43;
    const PFN: u64 = 0x5f400;
    const PAGE: u64 = 4096;

    fn recording() -> Recording {
        let reply = |value| RealCall { text: String::new(), reply: Outcome::Value(value), chosen: false };
        let word = |n: u64| {
            let word = if n < 16 { WORD | (PFN + n) << 12 } else { 0 };
            TableWord { addr: 0x4000_0000 + n * PAGE, level: Level::Pte, word }
        };
        let frame = |n: u64| Frame { pfn: PFN + n, head: PFN, folio_pages: 16, mapcount: 1 };
        let page = |n: u64| RealPage { pagemap: 0x810, frame: (n < 16).then(|| frame(n)) };
        let vma = GoldenVma {
            start: "0x40000000".to_owned(),
            end: "0x40010000".to_owned(),
            perms: "rw-p".to_owned(),
            rss_kb: 64,
            anon_huge_kb: 0,
            vmflags: "rd wr mr mw me ac".to_owned(),
        };
        let dump = RealDump {
            name: "end".to_owned(),
            pid: 1,
            start: 0x4000_0000,
            len: 32 * PAGE,
            vmas: vec![vma],
            pages: (0..32).map(page).collect(),
            bytes: (0..32).map(|n| (n < 16).then_some([7; 4])).collect(),
            words: Some((0..32).map(word).collect()),
        };
        let calls = vec![reply(0x4000_0000), reply(0), reply(0)];
        Recording { calls, dumps: vec![dump], ..Recording::default() }
    }

    fn broken(recording: &Recording) -> Option<Check> {
        let scenario = ptelab_scenario::parse(TEXT).expect("it is well formed");
        let port = Builder::new("arm64").build().expect("there is such a port");
        let rules = KernelRules::of_release(KernelRules::OLDEST);
        wrong(recording, &scenario, (&*port, rules), (By::Model, false)).map(|violation| violation.check)
    }

    fn set(recording: &mut Recording, n: usize, word: u64) {
        recording.dumps[0].words.as_mut().expect("they were read")[n].word = word;
    }

    #[test]
    fn a_sound_kernel_is_found_sound() {
        assert_eq!(broken(&recording()), None);
    }

    type Spoil = fn(&mut Recording, u64);

    #[test]
    fn what_is_wrong_is_found() {
        let of = |n: u64| WORD | (PFN + n) << 12;
        let spoils: [(Check, Spoil); 10] = [
            (Check::Results, |r, _| r.calls[2].reply = Outcome::Failed(CallError::Errno(Errno::ENOMEM))),
            (Check::Contents, |r, _| r.dumps[0].bytes[3] = Some([7, 7, 0, 7])),
            (Check::Blocks, |r, _| set(r, 15, 0)),
            (Check::Vma, |r, _| r.dumps[0].vmas[0].perms = "r--p".to_owned()),
            (Check::Outside, |r, word| set(r, 16, word + (16 << 12))),
            (Check::Writable, |r, _| r.dumps[0].pages[2].frame.as_mut().expect("it is mapped").mapcount = 2),
            (Check::Blocks, |r, word| set(r, 4, word & !(1 << 52) | 4 << 12)),
            (Check::Blocks, |r, _| r.dumps[0].pages[15].frame.as_mut().expect("it is mapped").head += 15),
            (Check::Protected, |r, word| set(r, 0, word | 1 << 58)),
            (Check::Mapcount, |r, _| r.dumps[0].pages[2].frame.as_mut().expect("it is mapped").mapcount = 0),
        ];
        for (n, (check, spoil)) in spoils.iter().enumerate() {
            let mut spoiled = recording();
            spoil(&mut spoiled, of(0));
            assert_eq!(broken(&spoiled), Some(*check), "spoil {n}");
        }
    }

    #[test]
    fn what_was_written_and_is_clean_is_found() {
        let mut spoiled = recording();
        // Neither software's dirty nor hardware's, nor one of a block.
        for n in 0..16 {
            set(&mut spoiled, n, (0x0068_0000_0000_0fc3) | (PFN + n as u64) << 12);
        }
        assert_eq!(broken(&spoiled), Some(Check::Dirty));
    }
}
