//! Who is who: the log's process and thread numbers, and the emulated machine's.

use crate::call::{Caller, Group};
use ptelab_machine::Pid;
use ptelab_scenario::strace::{LogEntry, Syscall};
use std::collections::{BTreeMap, BTreeSet};

/// A thread of the log.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Its number on the emulated machine.
    pub(crate) emulated: Pid,
    /// The process that it is a thread of, as an index into the list of all.
    pub(crate) process: usize,
    /// Whether the log has a line of it.
    pub(crate) seen: bool,
    /// Those of one group are threads of one process, as the log shows. Groups are in one process where nothing speaks against it.
    pub(crate) group: Group,
}

/// All threads that live. Where a log does not name processes, there is one without a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    nameless: Option<Task>,
    numbered: BTreeMap<u32, Task>,
    /// Numbers of tasks that have ended.
    gone: BTreeSet<u32>,
}

/// Who lives, and who may yet turn out to.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) tasks: Tasks,
    /// Whether the log begins in the middle of a program: others may run that it does not introduce.
    pub(crate) attached: bool,
    /// What tasks did that nobody has announced.
    pub(crate) waiting: BTreeMap<u32, Vec<LogEntry>>,
    pub(crate) waiting_count: usize,
}

/// `CLONE_VM`, `CLONE_VFORK` and `CLONE_THREAD` (`include/uapi/linux/sched.h`).
const CLONE_VM: u64 = 0x100;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_THREAD: u64 = 0x1_0000;

/// What a new task shares with its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Birth {
    /// Nothing: a copy.
    Fork,
    /// The address space, until it executes a program, which the parent waits for.
    Vfork,
    /// The address space, until it executes a program.
    SharesMemory,
    /// The process.
    Thread,
}

impl Birth {
    /// What it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Vfork => "vfork",
            Self::SharesMemory => "shares memory",
            Self::Thread => "thread",
        }
    }

    /// What a call makes, if it makes a task.
    pub(crate) fn of(call: &Syscall) -> Option<Self> {
        match *call {
            Syscall::Fork => Some(Self::Fork),
            Syscall::Vfork => Some(Self::Vfork),
            Syscall::Clone { flags, .. } => {
                let has = |flag| flags.unwrap_or(0) & flag != 0;
                Some(match () {
                    () if has(CLONE_THREAD) => Self::Thread,
                    () if has(CLONE_VM) && has(CLONE_VFORK) => Self::Vfork,
                    () if has(CLONE_VM) => Self::SharesMemory,
                    () => Self::Fork,
                })
            }
            _ => None,
        }
    }
}

impl Tasks {
    /// The task of a line: the one of its number, or the nameless one. A line without a number in a log that has numbers is
    /// of the only task that is left, or else of the first.
    pub(crate) fn find(&self, pid: Option<u32>) -> Option<&Task> {
        match pid {
            Some(pid) => self.numbered.get(&pid),
            None => self.nameless.as_ref().or_else(|| self.numbered.values().min_by_key(|task| task.process)),
        }
    }

    /// The log has a line of a task.
    pub(crate) fn see(&mut self, pid: Option<u32>) {
        let task = match pid {
            Some(pid) => self.numbered.get_mut(&pid),
            None => self.nameless.as_mut(),
        };
        if let Some(task) = task {
            task.seen = true;
        }
    }

    /// A number that nobody announced is the nameless task's; says whether there is one.
    pub(crate) fn name(&mut self, pid: u32) -> bool {
        let Some(task) = self.nameless.take() else { return false };
        self.numbered.insert(pid, task);
        true
    }

    pub(crate) fn add(&mut self, pid: Option<u32>, emulated: Pid, (process, group): (usize, Group)) {
        let task = Task { emulated, process, seen: false, group };
        match pid {
            Some(pid) => {
                self.gone.remove(&pid);
                self.numbered.insert(pid, task);
            }
            None => self.nameless = Some(task),
        }
    }

    /// Whether every task has ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.nameless.is_none() && self.numbered.is_empty()
    }

    /// Whether a number is or was a task's.
    pub(crate) fn was_seen(&self, pid: u32) -> bool {
        self.numbered.contains_key(&pid) || self.gone.contains(&pid)
    }

    /// Takes a task away.
    pub(crate) fn remove(&mut self, pid: Option<u32>) -> Option<Task> {
        match pid {
            Some(pid) => {
                let task = self.numbered.remove(&pid)?;
                self.gone.insert(pid);
                Some(task)
            }
            None => self.nameless.take(),
        }
    }

    /// A task goes on under another number, that of a task which is no more.
    pub(crate) fn rename(&mut self, from: u32, to: Option<u32>) -> Option<Task> {
        let goes_on = self.remove(Some(from))?;
        let ended = self.remove(to);
        match to {
            Some(to) => {
                self.gone.remove(&to);
                self.numbered.insert(to, goes_on);
            }
            None => self.nameless = Some(goes_on),
        }
        ended
    }

    /// Takes all tasks of a group away, but for one of this number.
    pub(crate) fn remove_group(&mut self, group: Group, but: Option<Pid>) -> Vec<Task> {
        let goes = |task: &Task| task.group == group && Some(task.emulated) != but;
        let mut ended: Vec<Task> = self.nameless.take_if(|task| goes(task)).into_iter().collect();
        let numbers: Vec<u32> =
            self.numbered.iter().filter(|(_, task)| goes(task)).map(|(pid, _)| *pid).collect();
        ended.extend(numbers.iter().filter_map(|pid| self.remove(Some(*pid))));
        ended
    }

    /// A task of a process: its number in the log, and here.
    pub(crate) fn of_process(&self, process: usize) -> Option<(Option<u32>, Pid)> {
        let nameless = self.nameless.iter().map(|task| (None, task));
        let mut all = nameless.chain(self.numbered.iter().map(|(pid, task)| (Some(*pid), task)));
        all.find(|(_, task)| task.process == process).map(|(pid, task)| (pid, task.emulated))
    }

    /// Whether a process has tasks that nothing shows to be threads of one process.
    pub(crate) fn is_mixed(&self, process: usize) -> bool {
        let mut groups = self.all().filter(|task| task.process == process).map(|task| task.group);
        let first = groups.next();
        groups.any(|group| Some(group) != first)
    }

    /// Whether the group of a task is the first in its process.
    pub(crate) fn is_oldest(&self, caller: Caller) -> bool {
        let groups = self.all().filter(|task| task.process == caller.process).map(|task| task.group);
        groups.min() == Some(caller.group)
    }

    /// The tasks of a group.
    pub(crate) fn of_group(&mut self, group: Group) -> impl Iterator<Item = &mut Task> {
        let all = self.nameless.iter_mut().chain(self.numbered.values_mut());
        all.filter(move |task| task.group == group)
    }

    /// How many tasks a process has.
    pub(crate) fn count(&self, process: usize) -> usize {
        self.all().filter(|task| task.process == process).count()
    }

    /// The first task, by its number here, of which the log has no line yet, and which is no thread of another.
    pub(crate) fn first_unseen(&self) -> Option<u32> {
        let unseen = self.numbered.iter().filter(|(_, task)| !task.seen && self.count(task.process) == 1);
        unseen.min_by_key(|(_, task)| task.emulated).map(|(pid, _)| *pid)
    }

    /// Whether a process has a task of which the log has no line: it may do what the log does not show.
    pub(crate) fn has_unseen(&self, process: usize) -> bool {
        self.all().any(|task| task.process == process && !task.seen)
    }

    fn all(&self) -> impl Iterator<Item = &Task> {
        self.nameless.iter().chain(self.numbered.values())
    }
}
