//! One program on several machines.

use super::caught::caught;
use super::checks::{Check, Checks, Violation};
use super::coverage::Coverage;
use super::judge::{Judged, result_is_right};
use super::model::Model;
use super::program::Size;
use super::state::Seen;
use crate::faulty::Fault;
use crate::ports::checked;
use ptelab_machine::mm::{Pagemap, Rules};
use ptelab_machine::pgtable::{PteAttrs, PteView, SoftFlags, swp_type};
use ptelab_machine::uapi::ByteSize;
use ptelab_machine::{
    Advice, Call, CallError, CpuConfig, KernelRules, MremapFlags, Outcome, Pid, UnknownFeature, port_named,
};
use ptelab_run::default_port_names;
use ptelab_run::exec::reclaims;
use ptelab_scenario::Line;
use std::collections::BTreeMap;

/// A program that broke a check.
#[derive(Clone, Debug)]
pub struct Found {
    /// The case's number.
    pub case: u64,
    /// The program, up to the call that broke it.
    pub lines: Vec<Line>,
    /// What was broken.
    pub violation: Violation,
    /// The machine that broke it.
    pub machine: String,
    /// Port and kernel of it.
    pub on: (&'static str, &'static str),
}

/// What runs cases: ports and kernels, or a faulty port.
pub trait Planned: Sync {
    /// Runs a program as a case of this number.
    ///
    /// # Errors
    /// Bytes in a page of the machines.
    fn page_size(&self) -> u64;

    /// Runs it.
    ///
    /// # Errors
    /// The first check that it breaks.
    fn run(&self, case: u64, lines: &[Line], coverage: &mut Coverage) -> Result<(), Found>;
}

/// A kernel as it would be without batches, with nothing planted in it.
fn entry_by_entry(rules: &'static KernelRules) -> &'static KernelRules {
    rules.sound().with(Rules::mprotect_batches, false).with(Rules::mremap_batches, false)
}

/// Ports and kernels that cases take by turns.
#[derive(Clone, Debug)]
pub struct Plan {
    ports: Vec<&'static str>,
    kernels: Vec<&'static KernelRules>,
    checks: Checks,
    size: Size,
    fault: Fault,
    /// CPUs that are not the usual ones, by port.
    cpus: BTreeMap<String, CpuConfig>,
}

impl Plan {
    /// These ports and kernels, neither empty. The ports have pages of one size.
    pub fn new(ports: Vec<&'static str>, kernels: Vec<&'static KernelRules>, size: Size) -> Self {
        let first = ports.first().and_then(|port| port_named(port));
        let size = first.map_or(size, |port| size.on(&port.shape));
        Self { ports, kernels, checks: Checks::ALL, size, fault: Fault::None, cpus: BTreeMap::new() }
    }

    /// How large programs are, in pages as these ports have them.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// With these checks only.
    #[must_use]
    pub const fn checks(mut self, checks: Checks) -> Self {
        self.checks = checks;
        self
    }

    /// With this CPU in the machines of a port.
    ///
    /// # Errors
    /// The first feature that is switched and that the port does not have.
    pub fn cpu(mut self, port: &str, cpu: CpuConfig) -> Result<Self, UnknownFeature> {
        cpu.validate(port_named(port).map_or(&[], |port| port.features))?;
        self.cpus.insert(port.to_owned(), cpu);
        Ok(self)
    }

    /// With a fault in the first machine of each case.
    #[must_use]
    pub const fn fault(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    fn machine(
        &self,
        case: u64,
        port: &'static str,
        rules: &'static KernelRules,
        fault: Fault,
    ) -> Box<dyn Judged> {
        let span = self.size.of_case(case).span();
        let cpu = self.cpus.get(port).cloned().unwrap_or_default();
        checked(port).expect("the plan names ports that there are").on_trial(&cpu, rules, fault, span)
    }
}

impl Planned for Plan {
    fn page_size(&self) -> u64 {
        self.size.page
    }

    /// A panic is a bug that was found, too: a broken port leads the rest astray.
    fn run(&self, case: u64, lines: &[Line], coverage: &mut Coverage) -> Result<(), Found> {
        caught(|| self.run_case(case, lines, coverage)).unwrap_or_else(|said| {
            if !self.checks.minds_panics() {
                return Ok(());
            }
            let (port, rules) = self.of_case(case);
            Err(Found {
                case,
                lines: lines.to_vec(),
                violation: Violation::new(Check::Results, format!("it panics: {said}")),
                machine: format!("{port}, Linux {}", rules.name),
                on: (port, rules.name),
            })
        })
    }
}

impl Plan {
    /// The ports that one is held against: the default ones, and those of the plan, that have pages and huge pages as it has them;
    /// itself, where there is none.
    fn beside(&self, port: &'static str) -> Vec<&'static str> {
        let mut others = default_port_names();
        others.extend(self.ports.iter().filter(|other| !default_port_names().contains(other)));
        let sizes = |name: &str| port_named(name).map(|port| port.shape.page_sizes());
        let like = |other: &&'static str| *other != port && sizes(other) == sizes(port);
        others.retain(like);
        if others.is_empty() { vec![port] } else { others }
    }

    /// The port and the kernel whose turn it is.
    fn of_case(&self, case: u64) -> (&'static str, &'static KernelRules) {
        let ports = self.ports.len() as u64;
        let kernel = case / ports % self.kernels.len() as u64;
        (self.ports[(case % ports) as usize], self.kernels[kernel as usize])
    }

    fn run_case(&self, case: u64, lines: &[Line], coverage: &mut Coverage) -> Result<(), Found> {
        let ports = self.ports.len() as u64;
        let (port, rules) = self.of_case(case);
        let others: Vec<&'static str> = self.beside(port);
        let other = others[(case / ports % others.len() as u64) as usize];
        let main = self.machine(case, port, rules, self.fault);
        let other = self.checks.has(Check::Ports).then(|| self.machine(case, other, rules, Fault::None));
        let all_make = |line: &&Line| {
            main.makes(&line.call) && other.as_ref().is_none_or(|other| other.makes(&line.call))
        };
        let lines: Vec<Line> = lines.iter().filter(all_make).cloned().collect();
        let run = |machine: Box<dyn Judged>, coverage: &mut Coverage| {
            let on = (machine.port(), rules.name);
            Run::new(machine, self.checks).through(&lines, coverage).map_err(|(at, violation, machine)| {
                Found { case, lines: lines[..at].to_vec(), violation, machine, on }
            })
        };
        let mut main = run(main, coverage)?;
        let mut beside = Vec::new();
        if self.checks.has(Check::Batched) && rules.has(Rules::mprotect_batches) {
            let single = entry_by_entry(rules);
            beside.push((Check::Batched, run(self.machine(case, port, single, Fault::None), coverage)?));
        }
        if let Some(other) = other {
            beside.push((Check::Ports, run(other, coverage)?));
        }
        let found = |violation: Violation, machine: &str| Found {
            case,
            lines: lines.clone(),
            violation,
            machine: machine.to_owned(),
            on: (port, rules.name),
        };
        for (check, right) in &beside {
            agree(*check, &main, right).map_err(|violation| {
                found(violation, &format!("{} and {}", main.machine.name(), right.machine.name()))
            })?;
        }
        let name = main.machine.name();
        main.machine.end(self.checks).map_err(|violation| found(violation, &name))
    }
}

/// Ports by the sizes of their pages and huge pages.
pub fn by_page_size(ports: &[&'static str]) -> BTreeMap<[u64; 2], Vec<&'static str>> {
    let mut sizes: BTreeMap<[u64; 2], Vec<&'static str>> = BTreeMap::new();
    for port in ports.iter().filter_map(|name| port_named(name)) {
        sizes.entry(port.shape.page_sizes()).or_default().push(port.name);
    }
    sizes
}

/// Ports are held against each other call by call, which takes pages and huge pages of one size.
///
/// # Errors
/// Where they are of several: which ports have which.
pub fn one_page_size(ports: &[&'static str]) -> Result<(), String> {
    let sizes = by_page_size(ports);
    if sizes.len() <= 1 {
        return Ok(());
    }
    let lists = sizes.iter().map(|([page, huge], ports)| {
        format!("{} ({} and {})", ports.join(","), ByteSize(*page), ByteSize(*huge))
    });
    let lists: Vec<String> = lists.collect();
    Err(format!(
        "ports that are fuzzed together have pages and huge pages of one size: {}",
        lists.join(", or ")
    ))
}

/// A machine that runs a program.
struct Run {
    machine: Box<dyn Judged>,
    model: Model,
    checks: Checks,
    results: Vec<Outcome>,
    /// How folios are split, after each call.
    splits: Vec<Splits>,
    /// Soft-dirty was cleared: from then on it may make a difference.
    tracks: bool,
    /// `MADV_FREE` gave memory up.
    frees: bool,
    /// The first call that reclaimed what was clean of that: from then on dirty may make a difference.
    reclaims: Option<usize>,
}

impl Run {
    fn new(machine: Box<dyn Judged>, checks: Checks) -> Self {
        Self {
            model: Model::new(machine.page_size(), machine.rules().sound()),
            machine,
            checks,
            results: Vec::new(),
            splits: Vec::new(),
            tracks: false,
            frees: false,
            reclaims: None,
        }
    }

    /// Runs all lines; on failure, says how many ran, what was broken and on what machine.
    fn through(
        mut self,
        lines: &[Line],
        coverage: &mut Coverage,
    ) -> Result<Self, (usize, Violation, String)> {
        for (i, line) in lines.iter().enumerate() {
            if let Err(violation) = self.step(line, coverage) {
                if is_kernels_own(self.machine.rules().sound(), &line.call, violation.check) {
                    break;
                }
                return Err((i + 1, violation, self.machine.name()));
            }
            if ends(line, self.results.last().copied()) {
                break;
            }
        }
        Ok(self)
    }

    /// Makes a call, and notes what tells how folios are split after it.
    fn step(&mut self, line: &Line, coverage: &mut Coverage) -> Result<(), Violation> {
        let judged = self.judged_step(line, coverage);
        self.splits.push(Splits::new(self.machine.seen()));
        judged
    }

    fn judged_step(&mut self, line: &Line, coverage: &mut Coverage) -> Result<(), Violation> {
        let got = self.machine.call(line);
        if ends(line, Some(got)) {
            self.results.push(got);
            return Ok(());
        }
        let expected = self.model.call(line, got, &|pid, page| self.machine.word(pid, page));
        if is_forgetful(&line.call) {
            let in_device = self.machine.seen().iter().filter(|seen| seen.is_in_device());
            in_device.for_each(|seen| self.model.soft_dirty_is_forgotten(seen.pid, seen.entry.addr.get()));
        }
        if !self.machine.rules().has(Rules::split_zeropage_keeps_soft_dirty) {
            // The zero page that a split maps is protected no more in 6.16, either.
            let zero = self.machine.seen().iter().filter(|seen| is_special(seen));
            zero.for_each(|seen| {
                self.model.protected_is_believed(seen.pid, seen.entry.addr.get(), &seen.view);
            });
        }
        // Only single pages that fail are signalled: which folios are split already differs.
        let signalled = matches!(got, Outcome::Failed(CallError::Signal(_)));
        let fails = signalled && matches!(line.call, Call::Hwpoison { .. });
        self.results.push(if fails { Outcome::Value(0) } else { got });
        self.tracks |= matches!(line.call, Call::ClearRefs { what: 4 });
        self.frees |= matches!(line.call, Call::Madvise { advice, .. } if advice == Advice::FREE);
        if self.frees && reclaims(&line.call) {
            self.reclaims.get_or_insert(self.results.len());
        }
        if self.checks.has(Check::Results) {
            result_is_right(expected, got)?;
        }
        let pid = line.pid.unwrap_or(1);
        self.model.moved_in_part(pid, &line.call, got, |addr| self.machine.is_mapped(pid, addr));
        if matches!(line.call, Call::ClearRefs { what: 4 }) && self.checks.has(Check::SoftDirty) {
            nothing_is_soft_dirty(self.machine.seen(), pid)?;
        }
        self.machine.judge(line.call.name(), &self.model, self.checks, coverage)
    }
}

/// Whether a program ends with a call that came to this. Nothing follows a call that never ends. An access to a page that migrates waits
/// for what comes later. Where an mremap that leaves the old memory mapped has failed, nothing says how much it had moved.
fn ends(line: &Line, got: Option<Outcome>) -> bool {
    match got {
        Some(Outcome::Failed(CallError::Migrating | CallError::NotEmulated(_))) => true,
        Some(got) if got.never_ends() => true,
        Some(Outcome::Failed(_)) => {
            matches!(line.call, Call::Mremap { flags, .. } if flags.contains(MremapFlags::DONTUNMAP))
        }
        _ => false,
    }
}

/// Whether a kernel of these rules is known to break a check with a call: until 29f40594a281 reclaim put back what is read-only as
/// writable, and until 6.18 a VMA that had grown over moved memory could lose its anon_vma, so that forks leave its pages out, and a
/// walk of a page's mappings does not find it. Where a page comes from swap past the swap cache, it is clean, and `MADV_FREE` gives it
/// up though other processes map it, so that reclaim loses what they have (asked of 6.12.117, 6.16.12 and 6.18.15).
pub(crate) fn is_kernels_own(rules: &KernelRules, call: &Call, check: Check) -> bool {
    match check {
        Check::Writable | Check::Vma => reclaims(call) && !rules.has(Rules::reclaim_respects_write),
        Check::Contents => {
            let by_anon_vma = matches!(
                call,
                Call::Fork {} | Call::MigrateEnd { .. } | Call::Hwpoison { .. } | Call::SoftOffline { .. }
            );
            by_anon_vma && rules.has(Rules::copy_forgets_anon_vma)
                || reclaims(call) && rules.has(Rules::swapin_bypasses_cache)
        }
        _ => false,
    }
}

/// What clear_refs(4) leaves of a process.
fn nothing_is_soft_dirty(seen: &[Seen], pid: Pid) -> Result<(), Violation> {
    let soft_dirty = |seen: &&Seen| seen.pid == pid && seen.entry.pagemap.contains(Pagemap::SOFT_DIRTY);
    match seen.iter().find(soft_dirty) {
        None => Ok(()),
        Some(seen) => Err(Violation::new(
            Check::SoftDirty,
            format!("{}: soft-dirty when all was made clean", seen.text()),
        )),
    }
}

/// Two machines that ran the same program came to the same, but for what is known to differ.
///
/// They are compared up to the call at which they split different folios: a batch ends with a contiguous block, which machines have
/// or not, so that madvise splits a folio on one only (asked of 6.16.12).
fn agree(check: Check, left: &Run, right: &Run) -> Result<(), Violation> {
    let wrong = |text: String| Err(Violation::new(check, text));
    let (a, b) = (left.machine.seen(), right.machine.seen());
    // One may have ended before the other, at a bug of its kernel's own.
    let calls = left.splits.len().min(right.splits.len());
    let ended_apart = left.splits.len() != right.splits.len();
    let apart = (0..calls).find(|&i| left.splits[i] != right.splits[i]);
    // Before 6.18, MADV_COLLAPSE refuses pages that wait for a fault to be writable again, as ports with soft-dirty have them.
    let needs_writable = left.machine.rules().has(Rules::collapse_needs_writable);
    let may_refuse = check == Check::Ports && left.tracks && needs_writable;
    let alike_calls =
        apart.map_or(calls, |i| i + usize::from(!may_refuse)).min(left.reclaims.unwrap_or(calls));
    if let Some(i) = (0..alike_calls).find(|&i| left.results[i] != right.results[i]) {
        return wrong(format!("call {}: {} against {}", i + 1, left.results[i], right.results[i]));
    }
    // What reclaim takes depends on what is dirty, and with it what is write-protected afterwards.
    if apart.is_some() || ended_apart || left.reclaims.is_some() {
        return Ok(());
    }
    let seen = |s: Option<&Seen>| s.map_or_else(|| "nothing".to_owned(), Seen::text);
    let own = known_to_differ(check, left, right);
    let mut renamed = Renamed::default();
    for i in 0..a.len().max(b.len()) {
        let same = match (a.get(i), b.get(i)) {
            (Some(a), Some(b)) => alike(a, b, own, &mut renamed),
            _ => false,
        };
        if !same {
            return wrong(format!("{} against {}", seen(a.get(i)), seen(b.get(i))));
        }
    }
    Ok(())
}

/// Calls at which entries of pages that a device has forget soft-dirty, as they are shared or protected.
const fn is_forgetful(call: &Call) -> bool {
    matches!(
        call,
        Call::Fork {}
            | Call::Mprotect { .. }
            | Call::NumaScan { .. }
            | Call::UffdWp { .. }
            | Call::UffdUnregister { .. }
    )
}

/// What tells how folios are split: a split maps the zero page for zeros, and makes smaller folios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Splits {
    zeros: usize,
    orders: u32,
}

impl Splits {
    fn new(seen: &[Seen]) -> Self {
        let orders = seen.iter().filter_map(|seen| seen.entry.page).map(|page| page.folio.order).sum();
        Self { zeros: seen.iter().filter(|seen| is_special(seen)).count(), orders }
    }
}

fn is_special(seen: &Seen) -> bool {
    seen.mapping().is_some_and(|mapping| mapping.attrs.contains(PteAttrs::SPECIAL))
}

/// Attributes in which two machines may differ, as Linux's versions and ports do.
///
/// * Batches make all their entries as accessed and dirty as any (`modify_prot_start_ptes`), and so do contiguous blocks where they are
///   joined, which happens at other times with batches than without.
/// * On x86 a batch that becomes dirty becomes soft-dirty: then pages are made writable at once that otherwise wait for a
///   fault. That is the spurious soft-dirty of 6.17 and later.
/// * Ports have soft-dirty or not, and with it wait for faults or not.
fn known_to_differ(check: Check, left: &Run, right: &Run) -> PteAttrs {
    let recorded = PteAttrs::YOUNG | PteAttrs::DIRTY | PteAttrs::SOFT_DIRTY;
    let soft_dirty = left.machine.shape().1 || right.machine.shape().1;
    let waits = if left.tracks && (soft_dirty || check == Check::Ports) {
        PteAttrs::WRITE
    } else {
        PteAttrs::empty()
    };
    recorded | PteAttrs::CONT | waits
}

/// Frames and slots of one machine by those of another: where other folios were split, they have others in their places.
#[derive(Default)]
struct Renamed {
    there: BTreeMap<(u8, u64), u64>,
    back: BTreeMap<(u8, u64), u64>,
}

impl Renamed {
    /// Whether `a` of the one, of some kind, may be `b` of the other.
    fn is(&mut self, kind: u8, a: u64, b: u64) -> bool {
        *self.there.entry((kind, a)).or_insert(b) == b && *self.back.entry((kind, b)).or_insert(a) == a
    }
}

/// Kinds of what [`Renamed`] names: markers are what they are.
const FRAME: u8 = swp_type::HWPOISON;

/// Whether a kind of entry is another one without permission to write.
const fn is_without_write(kind: u8, other: u8) -> bool {
    match other {
        swp_type::MIGRATION_WRITE => {
            matches!(kind, swp_type::MIGRATION_READ | swp_type::MIGRATION_READ_EXCLUSIVE)
        }
        swp_type::DEVICE_WRITE => kind == swp_type::DEVICE_READ,
        _ => false,
    }
}

fn alike(a: &Seen, b: &Seen, own: PteAttrs, renamed: &mut Renamed) -> bool {
    if (a.place(), a.entry.level) != (b.place(), b.entry.level) {
        return false;
    }
    match (&a.view, &b.view) {
        (PteView::Present(x), PteView::Present(y)) => {
            // Of an entry that allows no access, ports say that in their own ways.
            let none = PteAttrs::USER | PteAttrs::EXEC | PteAttrs::WRITE;
            let own = if x.attrs.contains(PteAttrs::PROTNONE) { own | none } else { own };
            // Some ports have several zero pages.
            let zeros = x.attrs.contains(PteAttrs::SPECIAL) && y.attrs.contains(PteAttrs::SPECIAL);
            (zeros || renamed.is(FRAME, x.pfn.get(), y.pfn.get())) && x.attrs - own == y.attrs - own
        }
        (PteView::Soft(x), PteView::Soft(y)) => {
            let recorded = SoftFlags::YOUNG | SoftFlags::DIRTY | SoftFlags::SOFT_DIRTY;
            let loses_write = own.contains(PteAttrs::WRITE)
                && (is_without_write(x.ty, y.ty) || is_without_write(y.ty, x.ty));
            let names = match x.ty {
                swp_type::MARKER => x.offset == y.offset,
                ty => renamed.is(ty.min(FRAME), x.offset, y.offset),
            };
            names && (x.ty == y.ty || loses_write) && x.flags - recorded == y.flags - recorded
        }
        _ => false,
    }
}
