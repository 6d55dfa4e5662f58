//! One machine that a log is replayed on.

use crate::call::{Caller, Got, Logged};
use crate::effects::{Range, named};
use crate::maps::{MapsLine, MapsReport};
use crate::options::{FaultIn, Options, Thp, Used};
use crate::parts::{self, Parts};
use crate::reading::OpenMaps;
use crate::refused;
use crate::script::Script;
use crate::smaps::SmapsArea;
use crate::tally::Tally;
use crate::tasks::{Birth, Life};
use ptelab_machine::mm::Backing;
use ptelab_machine::uapi::{ThpKey, ThpMode};
use ptelab_machine::{Backend, Call, CallError, Errno, Outcome, Pid, PteAttrs, PteView, Snapshot, VmFlags};
use ptelab_measure::cost::Models;
use ptelab_run::exec::{Meter, Taken};
use ptelab_run::observe::{Observer, PAGES_USED, Seen};
use ptelab_scenario::strace::{LogEntry, LogEvent, LoggedOutcome, LoggedRange, Syscall, Touch};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What is remembered of a process, beside its report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    /// Whether its heap's place is known.
    pub(crate) brk_known: bool,
    /// Paths of descriptors that the log shows being opened.
    pub(crate) opened: BTreeMap<i32, String>,
    /// The machine's protection keys, by the log's.
    pub(crate) pkeys: BTreeMap<i32, i32>,
    /// Memory that was there before the log begins.
    pub(crate) adopted: Vec<(u64, u64)>,
    /// Whether tasks were taken for its threads that are not, or for another's that are: what they map and unmap may be there or not.
    pub(crate) was_mixed: bool,
    /// Memory that its tasks got, and say something of before they use it.
    pub(crate) unused: BTreeMap<Option<u32>, Range>,
    /// Memory that its calls have brought in since it was last counted how much it has resident.
    came_in: u64,
}

/// Memory that must come in before it is counted again how much is resident.
const LOOK_AGAIN: u64 = 1 << 20;

/// One machine, and where it stands.
pub(crate) struct Player<O> {
    pub(crate) vm: Box<dyn Backend>,
    pub(crate) tally: Tally,
    pub(crate) processes: Vec<Process>,
    pub(crate) files: HashMap<String, i32>,
    pub(crate) segments: HashMap<i32, i32>,
    pub(crate) fault_in: FaultIn,
    /// How much of each mapping was resident at some time.
    pub(crate) smaps: Vec<SmapsArea>,
    /// The scenario that is written along.
    pub(crate) script: Option<Script>,
    /// Who is told of every call.
    pub(crate) observer: Option<O>,
    pub(crate) life: Life,
    pub(crate) parts: Parts,
    /// Memory in use after the last call of any process.
    in_use_before: u64,
    meter: Meter,
    /// The maps file to compare with.
    pub(crate) maps_file: Option<Vec<MapsLine>>,
    /// Whose that is, if that is said.
    pub(crate) maps_of: Option<u32>,
    /// How it compared since the program last opened its maps.
    pub(crate) maps: Option<MapsReport>,
    /// Maps that a program is reading.
    pub(crate) open_maps: Option<OpenMaps>,
    /// Snapshot of the memory that was asked for, where its process has ended.
    dump: Option<Snapshot>,
    dumped: Option<(Option<u32>, u64, u64)>,
}

impl<O: Observer> Player<O> {
    pub(crate) fn new(
        mut vm: Box<dyn Backend>,
        options: &Options,
        mut script: Option<Script>,
        observer: Option<O>,
    ) -> Result<Self, CallError> {
        set_thp(&mut *vm, script.as_mut(), &options.thp)?;
        let meter = Meter::new(&mut *vm);
        let model = Models::built_in().choose(vm.arch(), vm.rules()).map(|chosen| chosen.model);
        let used = if options.is_pagemap {
            Used::Pagemap
        } else if options.smaps.is_some() {
            Used::Smaps(options.fault_in)
        } else {
            Used::Assumed(options.fault_in)
        };
        let thp = if options.thp.is_empty() { Thp::Unsaid } else { Thp::Given };
        Ok(Self {
            vm,
            tally: Tally { model, used, thp, ..Tally::default() },
            processes: Vec::new(),
            files: HashMap::new(),
            segments: HashMap::new(),
            fault_in: options.fault_in,
            smaps: options.smaps.clone().unwrap_or_default(),
            script,
            life: Life::default(),
            parts: Parts::default(),
            in_use_before: 0,
            observer,
            meter,
            maps_file: options.maps.clone(),
            maps_of: options.maps_of,
            maps: None,
            open_maps: None,
            dump: None,
            dumped: options.dump,
        })
    }

    /// Replays entries, in a tracing span of the machine.
    pub(crate) fn entries(&mut self, entries: &[Arc<LogEntry>]) {
        let _span =
            tracing::debug_span!("replay", arch = self.vm.arch(), kernel = self.vm.rules().name).entered();
        for entry in entries {
            self.parts.push(entry);
            self.play(false);
        }
    }

    /// Replays what it is known of what came of it; after the last entry, everything.
    fn play(&mut self, last: bool) {
        while let Some(entry) = self.parts.pop(last) {
            if let LogEvent::Begun(_) = entry.kind {
                self.begin(&entry);
            } else if !self.parts.was_made(&entry) {
                self.entry(&entry);
            }
        }
    }

    /// A call that the log prints in parts begins: it is made now, unless what follows shows that it was made later.
    fn begin(&mut self, begun: &Arc<LogEntry>) {
        if let Some(end) = self.parts.end_of(begun) {
            if !self.parts.put_off(begun, &end, &*self.vm, &self.life.tasks) {
                self.parts.made(begun.line);
                self.entry(&end);
            }
        } else if let Some(entry) = parts::shown(begun, &self.parts, &self.life.tasks) {
            self.parts.made(begun.line);
            self.entry(&entry);
        }
    }

    pub(crate) fn entry(&mut self, entry: &LogEntry) {
        let Some(caller) = self.caller(entry) else { return };
        if let Some(script) = &mut self.script {
            script.at(entry.line);
        }
        match &entry.kind {
            LogEvent::Call(call) => self.call(caller, Logged { line: entry.line, call }),
            LogEvent::Exited { .. } | LogEvent::Killed { .. } => self.end_task(caller),
            LogEvent::Superseded { by } => self.supersede(*by, entry.pid),
            LogEvent::Signal { ended: Some(child), .. } => self.child_ended(*child),
            LogEvent::Signal { .. } | LogEvent::Begun(_) => {}
            LogEvent::Site(place) => self.tally.sites.at(entry.line, place),
            LogEvent::Touch(touch) => self.touch(caller, entry.line, touch),
            LogEvent::InUse(ranges) => self.in_use(caller, entry.line, ranges),
            LogEvent::HugePages(settings) => {
                // What the user says holds. The machine that refuses a setting goes on without it.
                if self.tally.thp == Thp::Unsaid
                    && set_thp(&mut *self.vm, self.script.as_mut(), settings).is_ok()
                {
                    self.tally.thp = Thp::Logged(settings.clone());
                }
            }
            &LogEvent::MostResident(most) => {
                let report = &mut self.tally.processes[caller.process];
                report.most_resident = report.most_resident.max(Some(most));
            }
        }
    }

    fn call(&mut self, caller: Caller, logged: Logged<'_>) {
        let Logged { line, call } = logged;
        if let Syscall::Open { path, .. } = &call.call {
            let path = path.as_ref().filter(|path| !path.truncated).map(|path| path.text.as_str());
            return self.open(caller, line, call, path);
        }
        if let Syscall::Read { fd } | Syscall::Close { fd } = call.call {
            return self.read_maps(caller, call, fd);
        }
        if let Syscall::Exit { .. } | Syscall::ExitGroup { .. } = call.call {
            if let Syscall::Exit { .. } = call.call {
                self.end_task(caller);
            } else {
                self.end_process(caller);
            }
            // Taking memory away is no call's cost.
            let taken = self.meter.take(&mut *self.vm);
            return self.tell(caller, logged, (Got::AsLogged, true), [taken, Taken::default()]);
        }
        let caller = if self.life.attached
            && self.life.tasks.is_mixed(caller.process)
            && self.is_of_another(caller, call)
        {
            self.separate(caller)
        } else {
            caller
        };
        self.note_unseen(caller, logged);
        let got = match call.outcome {
            LoggedOutcome::Unknown | LoggedOutcome::Restarted => Got::Skipped("that did not return"),
            _ => self.perform(caller, logged),
        };
        let equal = self.judge(caller, logged, got);
        if let Some(script) = &mut self.script {
            let why =
                if let Got::Skipped(why) | Got::Refused(why) = got { why } else { "the log's word is taken" };
            script.unmade(&call.text, why);
        }
        let taken = self.meter.take(&mut *self.vm);
        if let Some(counters) = &taken.counters {
            self.tally.cost(line, call, counters);
        }
        if let (Syscall::Mprotect { len, .. }, LoggedOutcome::Value(_)) = (&call.call, &call.outcome) {
            let pages = len.div_ceil(self.vm.page_size()).max(1);
            *self.tally.mprotect_sizes.entry(pages.ilog2()).or_default() += 1;
        }
        let was_used = self.first_use(caller, logged);
        self.compare_maps(caller.process);
        let faults = if was_used { self.meter.take(&mut *self.vm) } else { Taken::default() };
        if let Some(counters) = &faults.counters {
            self.tally.faults.add(counters);
        }
        self.note_peaks(caller, line);
        self.tell(caller, logged, (got, equal), [taken, faults]);
    }

    /// Memory goes that could be written, and of which no look saw a page.
    fn note_unseen(&mut self, caller: Caller, logged: Logged<'_>) {
        let Syscall::Munmap { addr, len } = logged.call.call else { return };
        if self.tally.used == Used::Seen {
            let vmas = self.vm.vmas(caller.pid, addr, len).unwrap_or_default();
            let end = addr.saturating_add(len);
            let writable = vmas.iter().filter(|vma| vma.flags.contains(VmFlags::WRITE));
            let bytes: u64 =
                writable.map(|vma| vma.end.get().min(end).saturating_sub(vma.start.get().max(addr))).sum();
            if bytes > 0 && vmas.iter().all(|vma| vma.rss == 0) {
                self.tally.unseen = (self.tally.unseen.0 + 1, self.tally.unseen.1 + bytes);
            }
        }
    }

    /// Makes a call that makes tasks or programs, or one that is about memory.
    fn perform(&mut self, caller: Caller, logged: Logged<'_>) -> Got {
        let call = logged.call;
        if let Some(birth) = Birth::of(&call.call) {
            let LoggedOutcome::Value(child) = call.outcome else { return Got::AsLogged };
            let Ok(child) = u32::try_from(child) else { return Got::Skipped("with a strange child") };
            let born = self.give_birth(child, caller, birth);
            return born.map_or_else(|error| Got::Result(Err(error)), |_| Got::AsLogged);
        }
        if let Syscall::Execve { path, .. } = &call.call {
            let LoggedOutcome::Value(_) = call.outcome else { return Got::AsLogged };
            let program = path.as_ref().map(|path| path.text.clone());
            if let Some(script) = &mut self.script {
                script.remark(&format!("{} begins", program.as_deref().unwrap_or("another program")));
            }
            self.tally.processes[caller.process].program = program;
            return self.execve(caller);
        }
        let mut got = self.memory_call(caller, logged);
        if let (Got::Result(Ok(_)), LoggedOutcome::Failed(errno)) = (got, &call.outcome)
            && let Some(by) = refused::by(&call.call, errno.name(), self.is_of_file(caller.pid, &call.call))
        {
            got = Got::Refused(by);
        }
        if let Got::Result(Err(CallError::NotEmulated(what))) = got {
            got = Got::Skipped(what);
        }
        got
    }

    /// Whether a call names memory that a file stands behind.
    fn is_of_file(&self, pid: Pid, call: &Syscall) -> bool {
        let backings = named(call).map(|(addr, len)| self.vm.backings(pid, addr, len).unwrap_or_default());
        backings.is_some_and(|backings| backings.iter().any(Backing::has_file))
    }

    /// A page fault of the log: an access to the page.
    fn touch(&mut self, caller: Caller, line: u64, touch: &Touch) {
        // A log that shows which pages are used leaves nothing to assume.
        (self.fault_in, self.tally.used) = (FaultIn::None, Used::Logged);
        let in_file = || self.vm.find_file(caller.pid, touch.map.as_deref()?, touch.offset?).ok()?;
        let Some(addr) = touch.addr.or_else(in_file) else {
            return self.tally.skip("page faults in files that the log does not show being mapped");
        };
        self.access_page(caller, addr);
        self.note_accesses(caller, line, &format!("page fault at {addr:#x}"));
    }

    /// Accesses were made that the log shows: what they took is no call's.
    fn note_accesses(&mut self, caller: Caller, line: u64, text: &str) {
        let taken = self.meter.take(&mut *self.vm);
        if let Some(counters) = &taken.counters {
            self.tally.faults.add(counters);
        }
        if let Some(observer) = &mut self.observer {
            let seen = Seen {
                line,
                pid: caller.pid,
                number: self.tally.number_of(caller),
                name: PAGES_USED,
                text,
                ranges: None,
                outcome: String::new(),
                as_expected: true,
                counters: taken.counters.unwrap_or_default(),
                records: taken.records,
            };
            observer.seen(&*self.vm, seen);
        }
    }

    /// Pages that were seen in use: accesses to them. What is not mapped here was mapped before the log begins.
    fn in_use(&mut self, caller: Caller, line: u64, ranges: &[LoggedRange]) {
        (self.fault_in, self.tally.used) = (FaultIn::None, Used::Seen);
        for &LoggedRange { addr, len } in ranges {
            self.adopt(caller, line, addr, len);
            self.access(caller, (addr, addr.saturating_add(len)));
        }
        self.note_accesses(caller, line, "pages seen in use");
        self.note_peaks(caller, line);
        if self.tally.processes[caller.process].most_resident.is_none_or(|most| most == 0) {
            self.note_resident(caller);
        }
    }

    /// Tasks that still live at the end of the log.
    pub(crate) fn finish(&mut self) {
        self.play(true);
        self.give_up_waiting();
        for process in 0..self.processes.len() {
            if let Some((log_pid, pid)) = self.life.tasks.of_process(process) {
                self.note_end(Caller { log_pid, pid, process, group: pid });
            }
        }
        // No process lives without a page: the log shows none of this one's.
        if let Used::Logged | Used::Seen = self.tally.used {
            for report in &mut self.tally.processes {
                report.resident = report.resident.filter(|&bytes| bytes > 0);
                report.most_resident = report.most_resident.filter(|&bytes| bytes > 0);
            }
        }
    }

    /// The state of the memory that was asked for.
    pub(crate) fn take_dump(&mut self) -> Option<Snapshot> {
        self.dump.take()
    }

    fn note_peaks(&mut self, caller: Caller, line: u64) {
        let mapped = self.vm.mapped(caller.pid).unwrap_or(0);
        let mappings = self.vm.map_count(caller.pid).unwrap_or(0);
        let resident = self.vm.usage().memory;
        let report = &mut self.tally.processes[caller.process];
        report.peak_mapped = report.peak_mapped.max(mapped);
        report.peak_resident = report.peak_resident.max(resident);
        let most = report.most_resident.unwrap_or(0);
        if mappings > report.most_mappings {
            (report.most_mappings, report.most_mappings_line) = (mappings, line);
        }
        // To look at every entry takes long: once for each few percent that come in.
        let process = &mut self.processes[caller.process];
        process.came_in += resident.saturating_sub(self.in_use_before);
        self.in_use_before = resident;
        if process.came_in > (most >> 6).max(LOOK_AGAIN) {
            process.came_in = 0;
            self.note_resident(caller);
        }
    }

    fn note_resident(&mut self, caller: Caller) -> u64 {
        let vmas = self.vm.vmas(caller.pid, 0, u64::MAX).unwrap_or_default();
        let resident = vmas.iter().map(|vma| vma.rss).sum();
        let report = &mut self.tally.processes[caller.process];
        report.most_resident = report.most_resident.max(Some(resident));
        resident
    }

    /// What was taken since is no call's.
    pub(crate) fn forget_costs(&mut self) {
        let _ = self.meter.take(&mut *self.vm);
    }

    /// What a process has at its end.
    pub(crate) fn note_end(&mut self, caller: Caller) {
        if let Some((whose, addr, len)) = self.dumped
            && (whose == self.tally.processes[caller.process].pid || whose.is_none() && caller.process == 0)
        {
            self.dump = self.vm.snapshot(caller.pid, addr, len).ok();
        }
        let Ok(vmas) = self.vm.vmas(caller.pid, 0, u64::MAX) else { return };
        let (folded, mapped) = (self.folded(caller.pid), self.vm.mapped(caller.pid).unwrap_or(0));
        let report = &mut self.tally.processes[caller.process];
        report.resident = Some(vmas.iter().map(|vma| vma.rss).sum());
        report.most_resident = report.most_resident.max(report.resident);
        report.huge = vmas.iter().map(|vma| vma.anon_huge).sum();
        report.folded = folded;
        report.peak_mapped = report.peak_mapped.max(mapped);
    }

    fn folded(&self, pid: Pid) -> u64 {
        let Ok(snapshot) = self.vm.snapshot(pid, 0, u64::MAX) else { return 0 };
        let is_folded = |view| matches!(view, Some(PteView::Present(m)) if m.attrs.contains(PteAttrs::CONT));
        let runs = snapshot.runs.iter().filter(|run| is_folded(run.view));
        runs.map(|run| run.n * snapshot.page_size).sum()
    }
}

/// Sets what a machine allows of huge pages. A port that has no such size does without.
fn set_thp(
    vm: &mut dyn Backend,
    mut script: Option<&mut Script>,
    settings: &[(ThpKey, ThpMode)],
) -> Result<(), CallError> {
    for &(size, mode) in settings {
        let call = Call::Thp { size, mode };
        let outcome = vm.call(1, &call);
        if outcome != Outcome::Failed(CallError::Errno(Errno::ENOENT)) {
            outcome.result()?;
        }
        if let Some(script) = &mut script {
            script.made(1, &call, outcome);
        }
    }
    Ok(())
}
