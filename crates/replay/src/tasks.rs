//! Who is who: the log's process and thread numbers, and the emulated machine's.

use ptelab_machine::Pid;
use ptelab_scenario::strace::{LoggedCall, Syscall};
use std::collections::BTreeMap;

/// A thread of the log.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Its number on the emulated machine.
    pub(crate) emulated: Pid,
    /// The process that it is a thread of, as an index into the list of all.
    pub(crate) process: usize,
    /// A call that it has begun.
    begun: Option<LoggedCall>,
}

/// All threads that live. Before a log names processes, there is one without a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    nameless: Option<Task>,
    numbered: BTreeMap<u32, Task>,
}

/// `CLONE_VM` and `CLONE_THREAD` (`include/uapi/linux/sched.h`).
const CLONE_VM: u64 = 0x100;
const CLONE_THREAD: u64 = 0x1_0000;

/// What a new task shares with its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Birth {
    /// Nothing: a copy.
    Fork,
    /// The address space, until it executes a program.
    SharesMemory,
    /// The process.
    Thread,
}

impl Birth {
    /// What a call makes, if it makes a task.
    pub(crate) fn of(call: &Syscall) -> Option<Self> {
        match *call {
            Syscall::Fork => Some(Self::Fork),
            Syscall::Vfork => Some(Self::SharesMemory),
            Syscall::Clone { flags, .. } => {
                let flags = flags.unwrap_or(0);
                Some(if flags & CLONE_THREAD != 0 {
                    Self::Thread
                } else if flags & CLONE_VM != 0 {
                    Self::SharesMemory
                } else {
                    Self::Fork
                })
            }
            _ => None,
        }
    }
}

impl Tasks {
    /// The task of a line. The first number that a log names without having announced it is the nameless one's.
    pub(crate) fn find(&mut self, pid: Option<u32>) -> Option<&mut Task> {
        let Some(pid) = pid else {
            let only = self.numbered.len() == 1 && self.nameless.is_none();
            return if only { self.numbered.values_mut().next() } else { self.nameless.as_mut() };
        };
        if !self.numbered.contains_key(&pid)
            && self.births().next().is_none()
            && let Some(task) = self.nameless.take()
        {
            self.numbered.insert(pid, task);
        }
        self.numbered.get_mut(&pid)
    }

    pub(crate) fn add(&mut self, pid: Option<u32>, emulated: Pid, process: usize) {
        let task = Task { emulated, process, begun: None };
        match pid {
            Some(pid) => drop(self.numbered.insert(pid, task)),
            None => self.nameless = Some(task),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nameless.is_none() && self.numbered.is_empty()
    }

    /// Takes a task away.
    pub(crate) fn remove(&mut self, pid: Option<u32>) -> Option<Task> {
        match pid {
            Some(pid) => self.numbered.remove(&pid),
            None => self.nameless.take(),
        }
    }

    /// Takes all tasks of a process away, but for one of this number.
    pub(crate) fn remove_process(&mut self, process: usize, but: Option<Pid>) -> Vec<Task> {
        let goes = |task: &Task| task.process == process && Some(task.emulated) != but;
        let mut gone: Vec<Task> = self.nameless.take_if(|task| goes(task)).into_iter().collect();
        let numbers: Vec<u32> =
            self.numbered.iter().filter(|(_, task)| goes(task)).map(|(pid, _)| *pid).collect();
        gone.extend(numbers.iter().filter_map(|pid| self.numbered.remove(pid)));
        gone
    }

    /// A task of a process: its number in the log, and here.
    pub(crate) fn of_process(&self, process: usize) -> Option<(Option<u32>, Pid)> {
        let nameless = self.nameless.iter().map(|task| (None, task));
        let mut all = nameless.chain(self.numbered.iter().map(|(pid, task)| (Some(*pid), task)));
        all.find(|(_, task)| task.process == process).map(|(pid, task)| (pid, task.emulated))
    }

    /// Whether a process has a task.
    pub(crate) fn has(&self, process: usize) -> bool {
        self.all().any(|task| task.process == process)
    }

    fn all(&self) -> impl Iterator<Item = &Task> {
        self.nameless.iter().chain(self.numbered.values())
    }

    /// Notes that a call has begun.
    pub(crate) fn begin(&mut self, pid: Option<u32>, call: LoggedCall) {
        if let Some(task) = self.find(pid) {
            task.begun = Some(call);
        }
    }

    /// The call that a task had begun, which is over.
    pub(crate) fn take_begun(&mut self, pid: Option<u32>) -> Option<LoggedCall> {
        self.find(pid)?.begun.take()
    }

    /// Tasks that have begun to make a task, with what they make.
    fn births(&self) -> impl Iterator<Item = (Pid, usize, Birth)> {
        self.all().filter_map(|task| {
            let birth = Birth::of(&task.begun.as_ref()?.call)?;
            Some((task.emulated, task.process, birth))
        })
    }

    /// The parent of a task that nobody has announced: the only one that is making one, or the first of several.
    pub(crate) fn expecting(&self) -> Option<(Pid, usize, Birth)> {
        self.births().next()
    }

    /// Calls that other tasks have begun to unmap memory of `range`; they are taken as done.
    pub(crate) fn take_begun_unmaps(&mut self, range: (u64, u64)) -> Vec<(Pid, LoggedCall)> {
        let mut taken = Vec::new();
        for task in self.nameless.iter_mut().chain(self.numbered.values_mut()) {
            let unmaps = task.begun.as_ref().is_some_and(|begun| match begun.call {
                Syscall::Munmap { addr, len } => addr < range.1 && range.0 < addr.saturating_add(len),
                _ => false,
            });
            if unmaps && let Some(begun) = task.begun.take() {
                taken.push((task.emulated, begun));
            }
        }
        taken
    }
}
