//! Calls that a log prints in two parts, and those that files of `strace -ff`, put together, have whole where they began.
//!
//! Such a call was made somewhere between its parts. Here it is made as early as the lines in between allow: what it frees or makes
//! is in force from its first part on, but for what another line shows to have come before it. A call that stands whole where it
//! began had returned when its task went on.

use crate::effects::{Range, frees, gets, lacks, makes, meet, needs, prepares};
use crate::tasks::{Birth, Tasks};
use ptelab_machine::Backend;
use ptelab_scenario::strace::{Clock, LogEntry, LogEvent, LoggedCall, LoggedOutcome, Syscall};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Entries that are kept while a call has not returned. One that takes longer is made without knowing what came of it.
const MAX_KEPT: usize = 1 << 16;
/// Entries after a call among which the next of its task is looked for.
const MAX_AHEAD: usize = 128;
/// Entries after one that stands whole where it began, up to which it may have lasted, where its task does not go on before.
const MAX_LASTING: usize = 128;

/// The entries from the first part of a call on, until it is known what came of it.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    queue: VecDeque<Arc<LogEntry>>,
    /// The calls that have begun, by task.
    open: BTreeMap<Option<u32>, Open>,
    /// Lines of the calls of which the first part is an entry.
    begun: BTreeSet<u64>,
    /// The ends of those.
    ends: BTreeMap<u64, Arc<LogEntry>>,
    /// Whether the log prints calls in two parts: then those that it prints whole were over in their line.
    printed_in_two: bool,
    /// Ends of calls that stand whole, which may yet last, and how many entries there were before them.
    lasting: VecDeque<(u64, Arc<LogEntry>)>,
    /// How many entries there were.
    count: u64,
    /// The task of the first entry, and whether there are others.
    first: Option<u32>,
    several: bool,
}

/// A call that has begun.
#[derive(Clone, Copy, Debug)]
struct Open {
    line: u64,
    /// Whether it waits for nobody, so that its end is worth waiting for.
    is_short: bool,
}

impl Parts {
    /// Takes an entry in.
    pub(crate) fn push(&mut self, entry: &Arc<LogEntry>) {
        self.count += 1;
        self.several |= *self.first.get_or_insert(entry.pid.unwrap_or(0)) != entry.pid.unwrap_or(0);
        self.end_lasting(entry);
        match &entry.kind {
            LogEvent::Begun(call) => {
                self.printed_in_two = true;
                self.begin_call(entry, call);
            }
            LogEvent::Call(_) if entry.line != entry.end_line => {
                self.open.retain(|_, open| open.line != entry.line);
                if self.begun.contains(&entry.line) {
                    self.ends.insert(entry.line, entry.clone());
                }
            }
            LogEvent::Superseded { by } => {
                self.open.remove(&entry.pid);
                if let Some(open) = self.open.remove(&Some(*by)) {
                    self.open.insert(entry.pid, open);
                }
            }
            LogEvent::Call(call) => {
                self.open.remove(&entry.pid);
                if self.may_last(entry, call) {
                    return self.last(entry, call);
                }
            }
            LogEvent::Exited { .. } | LogEvent::Killed { .. } => {
                self.open.remove(&entry.pid);
            }
            LogEvent::Signal { .. }
            | LogEvent::Touch(_)
            | LogEvent::InUse(_)
            | LogEvent::MostResident(_)
            | LogEvent::HugePages(_)
            | LogEvent::Site(_) => {}
        }
        self.queue.push_back(entry.clone());
    }

    fn begin_call(&mut self, entry: &LogEntry, call: &LoggedCall) {
        let is_short = Birth::of(&call.call).is_none() && !ends_tasks(call);
        self.open.insert(entry.pid, Open { line: entry.line, is_short });
        self.begun.insert(entry.line);
    }

    /// Whether a call may have lasted after its line, by the times and tasks that the log has.
    fn may_last(&self, entry: &LogEntry, call: &LoggedCall) -> bool {
        let timed = entry.time.is_some_and(|time| matches!(time.clock, Clock::Epoch | Clock::Midnight));
        timed && self.several && !self.printed_in_two && Birth::of(&call.call).is_none()
    }

    /// A call stands whole where it began: it is taken as one in two parts, of which the second comes before its task goes on.
    fn last(&mut self, entry: &Arc<LogEntry>, call: &LoggedCall) {
        self.begin_call(entry, call);
        let end = Arc::new(LogEntry { end_line: entry.line + 1, ..(**entry).clone() });
        self.ends.insert(entry.line, end.clone());
        self.lasting.push_back((self.count, end));
        self.queue.push_back(Arc::new(LogEntry { kind: LogEvent::Begun(call.clone()), ..(**entry).clone() }));
    }

    /// What has lasted long enough has returned, and so has what the task of an entry did before.
    fn end_lasting(&mut self, next: &LogEntry) {
        let is_over = |(since, end): &(u64, Arc<LogEntry>)| {
            let over = end.time.zip(next.time).zip(end.duration());
            let over = over.is_some_and(|((from, now), lasted)| from.seconds + lasted < now.seconds);
            over || end.pid == next.pid || since + MAX_LASTING as u64 <= self.count
        };
        while let Some(at) = self.lasting.iter().position(is_over) {
            let Some((_, end)) = self.lasting.remove(at) else { return };
            self.open.retain(|_, open| open.line != end.line);
            self.queue.push_back(end);
        }
    }

    /// The next entry, once it is known what came of it, and of what began before that. After the `last` entry nothing more will
    /// be known.
    pub(crate) fn pop(&mut self, last: bool) -> Option<Arc<LogEntry>> {
        let front = self.queue.front()?;
        if let LogEvent::Begun(_) = front.kind
            && !last
            && self.queue.len() < MAX_KEPT
            && self.waits(front)
        {
            return None;
        }
        let is_call = matches!(front.kind, LogEvent::Call(_));
        if is_call && !last && self.queue.len() <= MAX_AHEAD && self.next_of(front.pid, 1).is_none() {
            return None;
        }
        self.queue.pop_front()
    }

    /// The next call of a task, from a place in the queue on.
    fn next_of(&self, task: Option<u32>, from: usize) -> Option<&LoggedCall> {
        let ahead = self.queue.iter().skip(from).take(MAX_AHEAD);
        ahead.filter(|entry| entry.pid == task).find_map(|entry| self.call_at(entry))
    }

    /// Whether the next call of a task says something of memory that it has not used yet.
    pub(crate) fn is_prepared(&self, task: Option<u32>, range: Range) -> bool {
        self.next_of(task, 0).is_some_and(|call| meet(prepares(call), Some(range)))
    }

    fn waits(&self, front: &LogEntry) -> bool {
        let end = self.ends.get(&front.line).map(|end| end.end_line);
        let before_end =
            |open: &Open| open.is_short && end.is_some_and(|end| (front.line..end).contains(&open.line));
        self.open.values().any(|open| open.line == front.line || before_end(open))
    }

    /// What came of a call that begins with this entry, if that is known; it is made now.
    pub(crate) fn end_of(&self, begun: &LogEntry) -> Option<Arc<LogEntry>> {
        self.ends.get(&begun.line).cloned()
    }

    /// The call of this line is made.
    pub(crate) fn made(&mut self, line: u64) {
        self.begun.remove(&line);
    }

    /// Whether an entry is the second part of a call that was made at an earlier line.
    pub(crate) fn was_made(&mut self, entry: &LogEntry) -> bool {
        let known = entry.line != entry.end_line && self.ends.remove(&entry.line).is_some();
        known && !self.begun.remove(&entry.line)
    }

    /// The first task in what follows that nobody knows.
    pub(crate) fn unknown_task(&self, tasks: &Tasks) -> Option<u32> {
        self.queue.iter().filter_map(|entry| entry.pid).find(|&pid| !tasks.was_seen(pid))
    }

    /// Whether a call that never returned is shown to have given its memory free: another line gets it.
    pub(crate) fn shows_freed(&self, call: &LoggedCall) -> bool {
        let freed = frees(call);
        self.queue.iter().filter_map(|entry| self.call_at(entry)).any(|call| meet(gets(call), freed))
    }

    /// The call that an entry stands for, at the place where it begins.
    fn call_at<'a>(&'a self, entry: &'a LogEntry) -> Option<&'a LoggedCall> {
        match &entry.kind {
            LogEvent::Begun(_) => match &self.ends.get(&entry.line)?.kind {
                LogEvent::Call(call) => Some(call),
                _ => None,
            },
            LogEvent::Call(_) if self.ends.contains_key(&entry.line) => None,
            LogEvent::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Puts the beginning of a call behind the last entry that is shown to have come before it; says whether there is one.
    pub(crate) fn put_off(
        &mut self,
        begun: &Arc<LogEntry>,
        end: &LogEntry,
        vm: &dyn Backend,
        tasks: &Tasks,
    ) -> bool {
        let Some(at) = self.last_before(end, vm, tasks) else { return false };
        self.queue.insert(at + 1, begun.clone());
        true
    }

    fn last_before(&self, end: &LogEntry, vm: &dyn Backend, tasks: &Tasks) -> Option<usize> {
        let LogEvent::Call(call) = &end.kind else { return None };
        let task = tasks.find(end.pid)?;
        let between = self.queue.iter().take_while(|entry| entry.line != end.line);
        let others = between.enumerate().filter(|(_, entry)| {
            entry.pid != end.pid && tasks.find(entry.pid).is_some_and(|other| other.process == task.process)
        });
        if ends_tasks(call) {
            return others.map(|(at, _)| at).last();
        }
        let mapped = |(addr, len): (u64, u64)| vm.areas(task.emulated, addr, len).unwrap_or_default();
        let mut taken =
            gets(call).filter(|range| !mapped(*range).is_empty() && !meet(Some(*range), frees(call)));
        let is_whole = |range: (u64, u64)| {
            let (from, to) = (range.0, range.0.saturating_add(range.1));
            let areas = mapped(range);
            let held =
                areas.iter().map(|area| area.end.get().min(to).saturating_sub(area.start.get().max(from)));
            held.sum::<u64>() >= range.1
        };
        let lacking = lacks(call).filter(|range| is_whole(*range));
        let needed = needs(call).filter(|range| !is_whole(*range));
        let mut last = None;
        for (at, entry) in others {
            let Some(other) = self.call_at(entry) else { continue };
            if meet(gets(other), frees(call)) {
                break;
            }
            // Who gets what this call gets has it until it is freed.
            if meet(gets(other), gets(call)) {
                taken = gets(call);
            }
            let before = meet(needs(other), frees(call))
                || meet(frees(other), taken)
                || meet(frees(other), lacking)
                || meet(makes(other), needed);
            if before {
                last = Some(at);
            } else if meet(frees(other), gets(call)) {
                break;
            }
        }
        last
    }
}

/// Whether the other threads of a process end by a call.
fn ends_tasks(call: &LoggedCall) -> bool {
    match call.call {
        Syscall::ExitGroup { .. } | Syscall::Exit { .. } => true,
        Syscall::Execve { .. } => matches!(call.outcome, LoggedOutcome::Value(_)),
        _ => false,
    }
}

/// A call of which the log has only the first part, as it must have gone where what follows shows it.
pub(crate) fn shown(begun: &LogEntry, parts: &Parts, tasks: &Tasks) -> Option<LogEntry> {
    let LogEvent::Begun(call) = &begun.kind else { return None };
    let value = if Birth::of(&call.call).is_some() {
        parts.unknown_task(tasks).map(u64::from)?
    } else {
        let done = LoggedCall { outcome: LoggedOutcome::Value(0), ..call.clone() };
        let frees = matches!(call.call, Syscall::Munmap { .. });
        (frees && parts.shows_freed(&done)).then_some(0)?
    };
    let call = LoggedCall { outcome: LoggedOutcome::Value(value), ..call.clone() };
    Some(LogEntry { kind: LogEvent::Call(call), ..begun.clone() })
}
