//! How the processes and threads of a log begin and end.

use crate::call::{Caller, Got};
use crate::effects::gets;
use crate::player::{Player, Process};
use crate::tally::ProcessReport;
use crate::tasks::{Birth, Task};
use ptelab_machine::{Call, CallError, Pid};
use ptelab_run::observe::Observer;
use ptelab_scenario::strace::{Clock, LogEntry, LogEvent, LoggedCall, LoggedOutcome, Syscall};

/// A task ends.
const END: Call = Call::ExitGroup { status: 0 };

/// Entries of tasks that nobody has announced, which are kept until somebody does.
const MAX_WAITING: usize = 1 << 16;

/// Lines of tasks that the log does not introduce.
const UNKNOWN: &str = "of processes whose beginning the log does not show";

/// Lines of tasks that have ended.
const ENDED: &str = "of processes that have ended";

/// Lines where no task is left that could make another.
const ANOTHER_RUN: &str =
    "after the last process of the log's first run had ended: give each run a log of its own";

impl<O: Observer> Player<O> {
    /// Who made an entry. The first task of a log is the machine's process 1.
    pub(crate) fn caller(&mut self, entry: &LogEntry) -> Option<Caller> {
        let log_pid = entry.pid;
        if let LogEvent::Killed { signal, .. } = &entry.kind {
            self.note_how(log_pid, format!("killed by {signal}"));
        } else if let LogEvent::Exited { code } = entry.kind {
            self.note_how(log_pid, format!("exited with {code}"));
        }
        if self.processes.is_empty() {
            self.life.attached = !begins_program(entry);
            let process = self.new_process(log_pid, 1);
            self.life.tasks.add(log_pid, 1, (process, 1));
        }
        if let Some(pid) = log_pid {
            self.tally.silent.remove(&pid);
        }
        if self.life.tasks.find(log_pid).is_none() {
            self.introduce(entry)?;
        }
        self.life.tasks.see(log_pid);
        let task = self.life.tasks.find(log_pid)?;
        Some(caller_of(log_pid, task))
    }

    /// Finds a place for a task that is not known: one that had no number so far, one that was made under a number that
    /// means something elsewhere, one that ran before the log begins; or it has to wait until somebody makes it.
    fn introduce(&mut self, entry: &LogEntry) -> Option<()> {
        let is_end = matches!(entry.kind, LogEvent::Exited { .. } | LogEvent::Killed { .. });
        let Some(pid) = entry.pid.filter(|pid| !self.life.tasks.was_seen(*pid)) else {
            let returned =
                matches!(&entry.kind, LogEvent::Call(call) if call.outcome != LoggedOutcome::Unknown);
            if returned {
                self.tally.skip(if self.life.tasks.is_empty() { ANOTHER_RUN } else { ENDED });
            }
            return None;
        };
        if self.life.tasks.name(pid) {
            let process = self.life.tasks.find(entry.pid)?.process;
            self.tally.processes[process].pid = entry.pid;
            return Some(());
        }
        if is_end {
            return None;
        }
        // perf prints a call when it has returned: who makes this task may come later.
        let of_perf = entry.time.is_some_and(|time| time.clock == Clock::Start);
        if self.life.attached && !of_perf {
            return self.join(entry);
        }
        if !of_perf && let Some(known_as) = self.life.tasks.first_unseen() {
            self.life.tasks.rename(known_as, Some(pid));
            self.tally.silent.remove(&known_as);
            return Some(());
        }
        if !of_perf && self.life.tasks.is_empty() {
            self.tally.skip(ANOTHER_RUN);
        } else if self.life.waiting_count < MAX_WAITING {
            self.life.waiting_count += 1;
            self.life.waiting.entry(pid).or_default().push(entry.clone());
        } else {
            self.tally.skip(UNKNOWN);
        }
        None
    }

    /// A task that ran before the log begins: a thread of the first process that lives, unless the kernel gives it what is
    /// mapped there, else a process of its own.
    fn join(&mut self, entry: &LogEntry) -> Option<()> {
        let lives = |process| Some((process, self.life.tasks.of_process(process)?.1));
        let (process, relative) = (0..self.processes.len()).find_map(lives)?;
        let fits = !matches!(&entry.kind, LogEvent::Call(call) if self.gets_what_is_mapped(relative, call));
        let made = if fits {
            self.tally.processes[process].threads += 1;
            self.make(relative, &Call::CloneVm {}).ok()?
        } else {
            let made = self.make(relative, &Call::Fork {}).ok()?;
            self.make(made as Pid, &Call::Execve {}).ok()?;
            made
        };
        let process = if fits { process } else { self.new_process(entry.pid, made as Pid) };
        self.processes[process].was_mixed |= !fits;
        self.life.tasks.add(entry.pid, made as Pid, (process, made as Pid));
        self.forget_costs();
        Some(())
    }

    /// A task turns out not to be a thread of the process that it was taken for one of: with those of its group it has a process of
    /// its own from now on, of whose memory nothing is known.
    pub(crate) fn separate(&mut self, caller: Caller) -> Caller {
        let process = self.new_process(caller.log_pid, caller.pid);
        self.processes[process].opened = self.processes[caller.process].opened.clone();
        // Others may have gone with the wrong one of the two.
        for of in [process, caller.process] {
            self.processes[of].was_mixed = true;
        }
        let _ = self.make(caller.pid, &Call::Execve {});
        let others: Vec<Pid> = self.life.tasks.of_group(caller.group).map(|task| task.emulated).collect();
        for other in others.into_iter().filter(|other| *other != caller.pid) {
            let _ = self.make(other, &END);
            let Ok(made) = self.make(caller.pid, &Call::CloneVm {}) else { continue };
            let tasks = self.life.tasks.of_group(caller.group);
            tasks.filter(|task| task.emulated == other).for_each(|task| task.emulated = made as Pid);
        }
        let mut threads = 0;
        for task in self.life.tasks.of_group(caller.group) {
            task.process = process;
            threads += 1;
        }
        self.tally.processes[process].threads = threads;
        let left = &mut self.tally.processes[caller.process].threads;
        *left = left.saturating_sub(threads);
        self.forget_costs();
        Caller { process, ..caller }
    }

    /// Whether a call cannot be one of a process: it begins another program, is given what is mapped there, or has its heap
    /// elsewhere.
    pub(crate) fn is_of_another(&self, caller: Caller, call: &LoggedCall) -> bool {
        match (&call.call, &call.outcome) {
            (Syscall::Execve { .. }, LoggedOutcome::Value(_)) => true,
            (&Syscall::Brk { addr }, &LoggedOutcome::Value(now)) => {
                let ours = self.vm.foresee(caller.pid, &Call::Brk { addr }).result();
                self.processes[caller.process].brk_known && ours != Ok(now)
            }
            // What those who left had mapped may lie there still.
            _ if self.processes[caller.process].was_mixed && self.life.tasks.is_oldest(caller) => false,
            _ => self.gets_what_is_mapped(caller.pid, call),
        }
    }

    fn gets_what_is_mapped(&self, pid: Pid, call: &LoggedCall) -> bool {
        gets(call)
            .is_some_and(|(addr, len)| self.vm.areas(pid, addr, len).is_ok_and(|areas| !areas.is_empty()))
    }

    /// Whether a process may do what the log does not show: it has a task without lines, or the log is one task's.
    pub(crate) fn may_lack_lines(&self, caller: Caller) -> bool {
        let alone = self.life.attached && caller.log_pid.is_none();
        alone || self.processes[caller.process].was_mixed || self.life.tasks.has_unseen(caller.process)
    }

    fn new_process(&mut self, pid: Option<u32>, emulated: Pid) -> usize {
        self.processes.push(Process::default());
        self.tally.processes.push(ProcessReport { pid, emulated, threads: 1, ..ProcessReport::default() });
        self.processes.len() - 1
    }

    /// Makes a task, and lets it catch up with what it did before it was known. One that had its number is no more.
    pub(crate) fn give_birth(&mut self, child: u32, caller: Caller, birth: Birth) -> Result<u64, CallError> {
        let (log_pid, parent, process) = (Some(child), caller.pid, caller.process);
        if let Some(old) = self.life.tasks.find(log_pid) {
            self.end_task(caller_of(log_pid, old));
        }
        let made = match birth {
            Birth::Fork => self.make(parent, &Call::Fork {})?,
            Birth::Vfork | Birth::SharesMemory | Birth::Thread => self.make(parent, &Call::CloneVm {})?,
        };
        let process = if birth == Birth::Thread {
            self.tally.processes[process].threads += 1;
            process
        } else {
            self.child_of(process, (log_pid, made as Pid), birth)
        };
        let group = if birth == Birth::Thread { caller.group } else { made as Pid };
        self.life.tasks.add(log_pid, made as Pid, (process, group));
        self.tally.silent.insert(child);
        let report = &mut self.tally.processes[process];
        report.peak_mapped = report.peak_mapped.max(self.vm.mapped(made as Pid).unwrap_or(0));
        let waiting = self.life.waiting.remove(&child).unwrap_or_default();
        self.life.waiting_count -= waiting.len();
        for entry in &waiting {
            self.entry(entry);
        }
        Ok(made)
    }

    /// A process that knows what its parent does.
    fn child_of(&mut self, parent: usize, (log_pid, emulated): (Option<u32>, Pid), birth: Birth) -> usize {
        let (mut known, program) =
            (self.processes[parent].clone(), self.tally.processes[parent].program.clone());
        if self.life.attached && self.life.tasks.is_mixed(parent) {
            // What it inherits may be another's.
            (known.was_mixed, known.brk_known) = (true, false);
        }
        let new = self.new_process(log_pid, emulated);
        self.processes[new] = known;
        let made_by = self.tally.processes[parent].pid;
        let report = &mut self.tally.processes[new];
        (report.program, report.made_by, report.born) = (program, made_by, Some(birth.name()));
        new
    }

    pub(crate) fn execve(&mut self, caller: Caller) -> Got {
        for task in self.life.tasks.remove_group(caller.group, Some(caller.pid)) {
            let _ = self.make(task.emulated, &END);
        }
        let done = self.make(caller.pid, &Call::Execve {});
        // Descriptors live on, unless they are closed on exec; the memory is new.
        let process = &mut self.processes[caller.process];
        (process.brk_known, process.adopted) = (false, Vec::new());
        process.pkeys.clear();
        Got::Result(done)
    }

    /// A thread that executes a program goes on under the number of its process; who had that is no more.
    pub(crate) fn supersede(&mut self, by: u32, log_pid: Option<u32>) {
        self.tally.silent.remove(&by);
        if let Some(ended) = self.life.tasks.rename(by, log_pid) {
            let _ = self.make(ended.emulated, &END);
        }
    }

    /// A child of which the log has no line has ended.
    pub(crate) fn child_ended(&mut self, child: u32) {
        let log_pid = Some(child);
        if let Some(task) = self.life.tasks.find(log_pid).filter(|task| !task.seen) {
            self.end_process(caller_of(log_pid, task));
            self.forget_costs();
        }
    }

    /// How a process ended, as the log has it.
    pub(crate) fn note_how(&mut self, log_pid: Option<u32>, how: String) {
        let Some(report) = self.tally.processes.iter_mut().rev().find(|report| report.pid == log_pid) else {
            return;
        };
        report.end.get_or_insert(how);
    }

    pub(crate) fn end_task(&mut self, caller: Caller) {
        let Some(task) = self.life.tasks.remove(caller.log_pid) else { return };
        if self.life.tasks.count(task.process) == 0 {
            self.note_end(Caller { pid: task.emulated, ..caller });
        }
        let _ = self.make(task.emulated, &END);
    }

    pub(crate) fn end_process(&mut self, caller: Caller) {
        self.note_end(caller);
        for task in self.life.tasks.remove_group(caller.group, None) {
            let _ = self.make(task.emulated, &END);
        }
        // Those who live on were no threads of it: what it had mapped may be there still.
        self.processes[caller.process].was_mixed |= self.life.tasks.count(caller.process) > 0;
    }

    /// Nobody will make those who wait.
    pub(crate) fn give_up_waiting(&mut self) {
        for _ in std::mem::take(&mut self.life.waiting).into_values().flatten() {
            self.tally.skip(UNKNOWN);
        }
    }
}

fn caller_of(log_pid: Option<u32>, task: &Task) -> Caller {
    Caller { log_pid, pid: task.emulated, process: task.process, group: task.group }
}

/// Whether a log begins where a program does.
fn begins_program(entry: &LogEntry) -> bool {
    let (LogEvent::Call(call) | LogEvent::Begun(call)) = &entry.kind else { return false };
    matches!(call.call, Syscall::Execve { .. })
}
