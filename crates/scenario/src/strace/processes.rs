//! Whose a line is that names no process.

use std::collections::BTreeSet;

/// The processes that are alive, as far as strace's messages tell.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// Those that a message announced and that have not ended.
    attached: BTreeSet<u32>,
    first: First,
    /// Whether there was any line that is a process's.
    begun: bool,
}

/// The process that no message announces: the one that strace started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum First {
    /// It has no number yet.
    #[default]
    Unnamed,
    Named(u32),
    /// It has ended, or never was: strace attached to processes that ran already.
    Gone,
}

impl Processes {
    /// `strace: Process 7 attached`
    pub(super) fn attach(&mut self, pid: u32) {
        if !self.begun {
            self.first = First::Gone;
        }
        self.attached.insert(pid);
    }

    /// The process of a line that names `pid`, or none. The flag says that the first process has just got its number.
    pub(super) fn of_line(&mut self, pid: Option<u32>) -> (Option<u32>, bool) {
        self.begun = true;
        let Some(pid) = pid else {
            return (self.only(), false);
        };
        // Without announcements (-q, or a log in a file, which names the process in every line) nothing can be told.
        let is_first =
            self.first == First::Unnamed && !self.attached.is_empty() && !self.attached.contains(&pid);
        if is_first {
            self.first = First::Named(pid);
        }
        (Some(pid), is_first)
    }

    /// The first process turned out to be `pid`.
    pub(super) fn name_first(&mut self, pid: u32) {
        if self.first == First::Unnamed {
            self.first = First::Named(pid);
        }
    }

    /// A process ended, or a thread goes on under another number.
    pub(super) fn end(&mut self, pid: Option<u32>) {
        let Some(pid) = pid else {
            self.first = First::Gone;
            return;
        };
        if self.first == First::Named(pid) {
            self.first = First::Gone;
        }
        self.attached.remove(&pid);
    }

    fn only(&self) -> Option<u32> {
        match (self.first, self.attached.len()) {
            (First::Named(pid), 0) => Some(pid),
            (First::Gone, 1) => self.attached.first().copied(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Processes;

    #[test]
    fn the_first_process_is_the_one_that_nobody_announced() {
        let mut processes = Processes::default();
        assert_eq!(processes.of_line(None), (None, false));
        processes.attach(8);
        assert_eq!(processes.of_line(Some(8)), (Some(8), false));
        assert_eq!(processes.of_line(Some(7)), (Some(7), true));
        assert_eq!(processes.of_line(Some(7)), (Some(7), false));
        processes.end(Some(8));
        assert_eq!(processes.of_line(None), (Some(7), false));
    }

    #[test]
    fn the_last_process_is_the_one_that_is_left() {
        let mut processes = Processes::default();
        assert_eq!(processes.of_line(None), (None, false));
        processes.end(None);
        processes.attach(8);
        assert_eq!(processes.of_line(None), (Some(8), false));
    }

    #[test]
    fn processes_that_ran_already_are_all_announced() {
        let mut processes = Processes::default();
        processes.attach(8);
        assert_eq!(processes.of_line(None), (Some(8), false));
        processes.attach(9);
        assert_eq!(processes.of_line(None), (None, false));
    }
}
