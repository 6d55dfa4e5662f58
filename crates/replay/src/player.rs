//! One machine that a log is replayed on.

use crate::call::{Caller, Got, Logged};
use crate::effects::touched;
use crate::maps::{MapsLine, MapsReport};
use crate::options::{FaultIn, Options, Used};
use crate::parts::{self, Parts};
use crate::reading::OpenMaps;
use crate::script::Script;
use crate::smaps::SmapsArea;
use crate::tally::{LogDifference, Tally};
use crate::tasks::{Birth, Life};
use ptelab_machine::{Backend, Call, CallError, Counters, Outcome, Pid, PteAttrs, PteView, Snapshot};
use ptelab_measure::cost::Models;
use ptelab_run::exec::{Meter, Taken};
use ptelab_run::observe::{Observer, Seen};
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
}

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
    parts: Parts,
    meter: Meter,
    /// The maps file to compare with.
    pub(crate) maps_file: Option<Vec<MapsLine>>,
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
        for &(size, mode) in &options.thp {
            vm.call(1, &Call::Thp { size, mode }).result()?;
            if let Some(script) = &mut script {
                script.thp(size, mode);
            }
        }
        let meter = Meter::new(&mut *vm);
        let model = Models::built_in().choose(vm.arch(), vm.rules()).map(|chosen| chosen.model);
        let used = if options.smaps.is_some() {
            Used::Smaps(options.fault_in)
        } else {
            Used::Assumed(options.fault_in)
        };
        Ok(Self {
            vm,
            tally: Tally { model, used, ..Tally::default() },
            processes: Vec::new(),
            files: HashMap::new(),
            segments: HashMap::new(),
            fault_in: options.fault_in,
            smaps: options.smaps.clone().unwrap_or_default(),
            script,
            life: Life::default(),
            parts: Parts::default(),
            observer,
            meter,
            maps_file: options.maps.clone(),
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
        match &entry.kind {
            LogEvent::Call(call) => self.call(caller, Logged { line: entry.line, call }),
            LogEvent::Exited { .. } | LogEvent::Killed { .. } => self.end_task(caller),
            LogEvent::Superseded { by } => self.supersede(*by, entry.pid),
            LogEvent::Signal { ended: Some(child), .. } => self.child_ended(*child),
            LogEvent::Signal { .. } | LogEvent::Begun(_) => {}
            LogEvent::Touch(touch) => self.touch(caller, entry.line, touch),
            LogEvent::InUse(ranges) => self.in_use(caller, entry.line, ranges),
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
        let got = match call.outcome {
            LoggedOutcome::Unknown | LoggedOutcome::Restarted => Got::Skipped("that did not return"),
            _ => self.perform(caller, logged),
        };
        let equal = self.judge(caller, logged, got);
        let taken = self.meter.take(&mut *self.vm);
        if let Some(counters) = &taken.counters {
            self.tally.cost(line, call.name, &call.text, counters);
        }
        if let (Syscall::Mprotect { len, .. }, LoggedOutcome::Value(_)) = (&call.call, &call.outcome) {
            let pages = len.div_ceil(self.vm.page_size()).max(1);
            *self.tally.mprotect_sizes.entry(pages.ilog2()).or_default() += 1;
        }
        self.first_use(caller, logged);
        self.compare_maps(caller.process);
        let faults = self.meter.take(&mut *self.vm);
        if let Some(counters) = &faults.counters {
            self.tally.faults.add(counters);
        }
        self.note_peaks(caller);
        self.tell(caller, logged, (got, equal), [taken, faults]);
    }

    /// Tells the observer, and who reads the log of calls, of a call: what it came to, whether that is what the log says, and what it took, with the first uses
    /// of memory after it.
    fn tell(&mut self, caller: Caller, logged: Logged<'_>, (got, equal): (Got, bool), taken: [Taken; 2]) {
        if self.observer.is_none() && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let call = logged.call;
        let outcome = match got {
            Got::Result(result) => Outcome::from(result).to_string(),
            Got::AsLogged => logged_text(&call.outcome),
            Got::ByRule(rule) => rule.to_owned(),
            Got::Skipped(why) => format!("{} (not judged: a call {why})", logged_text(&call.outcome)),
        };
        tracing::debug!(line = logged.line, call = %call_without_result(&call.text), %outcome);
        let Some(observer) = &mut self.observer else { return };
        let mut counters = Counters::default();
        let mut records = Vec::new();
        for part in taken {
            counters += part.counters.unwrap_or_default();
            records.extend(part.records);
        }
        let seen = Seen {
            line: logged.line,
            pid: caller.pid,
            name: call.name,
            text: call_without_result(&call.text),
            ranges: touched(call),
            outcome,
            as_expected: equal,
            counters,
            records,
        };
        observer.seen(&*self.vm, seen);
    }

    /// Makes a call that makes tasks or programs, or one that is about memory.
    fn perform(&mut self, caller: Caller, logged: Logged<'_>) -> Got {
        let call = logged.call;
        if let Some(birth) = Birth::of(&call.call) {
            let LoggedOutcome::Value(child) = call.outcome else { return Got::AsLogged };
            let Ok(child) = u32::try_from(child) else { return Got::Skipped("with a strange child") };
            let born = self.give_birth(child, (caller.pid, caller.process), birth);
            return born.map_or_else(|error| Got::Result(Err(error)), |_| Got::AsLogged);
        }
        if let Syscall::Execve { path, .. } = &call.call {
            let LoggedOutcome::Value(_) = call.outcome else { return Got::AsLogged };
            let program = path.as_ref().map(|path| path.text.clone());
            if let Some(script) = &mut self.script {
                script.execve(caller.process, program.as_deref());
            }
            self.tally.processes[caller.process].program = program;
            return self.execve(caller);
        }
        let got = self.memory_call(caller, logged);
        if let (Some(script), Got::Result(_) | Got::ByRule(_) | Got::AsLogged) = (&mut self.script, got) {
            script.call(caller.process, logged);
        }
        got
    }

    fn judge(&mut self, caller: Caller, logged: Logged<'_>, got: Got) -> bool {
        let Logged { line, call } = logged;
        let equal = match got {
            Got::Skipped(why) => {
                self.tally.skip(why);
                return true;
            }
            Got::ByRule(rule) => {
                *self.tally.by_rule.entry(rule).or_default() += 1;
                self.tally.calls += 1;
                self.tally.processes[caller.process].calls += 1;
                return true;
            }
            Got::AsLogged => true,
            Got::Result(result) => same(&call.outcome, result),
        };
        self.tally.calls += 1;
        self.tally.processes[caller.process].calls += 1;
        if equal {
            self.tally.equal += 1;
            self.tally.processes[caller.process].equal += 1;
        } else if let Got::Result(result) = got {
            let difference = LogDifference {
                line,
                call: call.text.clone(),
                expected: logged_text(&call.outcome),
                got: Outcome::from(result).to_string(),
            };
            self.tally.differ(difference);
        }
        equal
    }

    /// A page fault of the log: an access to the page.
    fn touch(&mut self, caller: Caller, line: u64, touch: &Touch) {
        // A log that shows which pages are used leaves nothing to assume.
        (self.fault_in, self.tally.used) = (FaultIn::None, Used::Logged);
        let in_file = || self.vm.find_file(caller.pid, touch.map.as_deref()?, touch.offset?).ok()?;
        let Some(addr) = touch.addr.or_else(in_file) else {
            return self.tally.skip("page faults without an address");
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
                name: "page fault",
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
        (self.fault_in, self.tally.used) = (FaultIn::None, Used::Logged);
        for &LoggedRange { addr, len } in ranges {
            self.adopt(caller, line, addr, len);
            self.access(caller, (addr, addr.saturating_add(len)));
        }
        self.note_accesses(caller, line, "pages seen in use");
        self.note_peaks(caller);
    }

    /// Tasks that still live at the end of the log.
    pub(crate) fn finish(&mut self) {
        self.play(true);
        self.give_up_waiting();
        for process in 0..self.processes.len() {
            if let Some((log_pid, pid)) = self.life.tasks.of_process(process) {
                self.note_end(Caller { log_pid, pid, process });
            }
        }
    }

    /// The state of the memory that was asked for.
    pub(crate) fn take_dump(&mut self) -> Option<Snapshot> {
        self.dump.take()
    }

    fn note_peaks(&mut self, caller: Caller) {
        let mapped = self.vm.mapped(caller.pid).unwrap_or(0);
        let resident = self.vm.usage().memory;
        let report = &mut self.tally.processes[caller.process];
        report.peak_mapped = report.peak_mapped.max(mapped);
        report.peak_resident = report.peak_resident.max(resident);
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
        if let Some(script) = &mut self.script {
            script.exit(caller.process);
        }
        let Ok(vmas) = self.vm.vmas(caller.pid, 0, u64::MAX) else { return };
        let (folded, mapped) = (self.folded(caller.pid), self.vm.mapped(caller.pid).unwrap_or(0));
        let report = &mut self.tally.processes[caller.process];
        report.resident = vmas.iter().map(|vma| vma.rss).sum();
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

/// Whether a result is the one that the log has.
fn same(logged: &LoggedOutcome, got: Result<u64, CallError>) -> bool {
    match (logged, got) {
        (LoggedOutcome::Value(want), Ok(got)) => *want == got,
        (LoggedOutcome::Failed(want), Err(CallError::Errno(got))) => *want == got,
        _ => false,
    }
}

/// A call as the log has it, without what it returned.
fn call_without_result(text: &str) -> &str {
    text.rsplit_once(" = ").map_or(text, |(call, _)| call).trim_end()
}

/// `0`, `0x7f0000000000`, `-1 ENOMEM`
fn logged_text(outcome: &LoggedOutcome) -> String {
    match outcome {
        LoggedOutcome::Value(n) if *n < 4096 => n.to_string(),
        LoggedOutcome::Value(n) => format!("{n:#x}"),
        LoggedOutcome::Failed(errno) => format!("-1 {}", errno.name()),
        LoggedOutcome::FailedOther(text) => format!("-1 {text}"),
        LoggedOutcome::Restarted | LoggedOutcome::Unknown => "?".to_owned(),
    }
}
