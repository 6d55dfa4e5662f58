//! Programs that read their own maps.

use crate::call::Caller;
use crate::maps::Moment;
use crate::player::Player;
use crate::reading::{OpenMaps, Whose, maps_of};
use ptelab_run::observe::Observer;
use ptelab_scenario::strace::{LoggedCall, LoggedOutcome, Syscall};

impl<O: Observer> Player<O> {
    pub(crate) fn open(&mut self, caller: Caller, line: u64, call: &LoggedCall, path: Option<&str>) {
        let LoggedOutcome::Value(fd) = call.outcome else { return };
        let Ok(fd) = i32::try_from(fd) else { return };
        // A number that is given again was closed.
        self.close_maps(caller, fd);
        let Some(path) = call.result_path.as_deref().or(path) else { return };
        self.processes[caller.process].opened.insert(fd, path.to_owned());
        let Some(whose) = maps_of(path) else { return };
        let whose = match whose {
            Whose::Caller => None,
            Whose::Task(pid) => self.life.tasks.find(Some(pid)).map(|task| task.process),
        };
        // Where the log names no process, the only one opens its own by number.
        let of = whose.unwrap_or(caller.process);
        if self.maps_of.is_some_and(|pid| self.tally.processes[of].pid != Some(pid)) {
            return;
        }
        self.maps = None;
        self.open_maps = Some(OpenMaps::new(of, caller.process, fd, line));
        self.compare_maps(of);
    }

    /// A descriptor is read, or closed.
    pub(crate) fn read_maps(&mut self, caller: Caller, call: &LoggedCall, fd: i32) {
        let is_end = matches!(call.call, Syscall::Close { .. }) || call.outcome == LoggedOutcome::Value(0);
        if is_end {
            self.close_maps(caller, fd);
        } else if let Some(open) =
            self.open_maps.as_mut().filter(|open| (open.reader, open.fd) == (caller.process, fd))
        {
            open.is_read();
        }
    }

    fn close_maps(&mut self, caller: Caller, fd: i32) {
        self.open_maps.take_if(|open| (open.reader, open.fd) == (caller.process, fd));
    }

    /// Compares with the maps file, if a program has its own open.
    pub(crate) fn compare_maps(&mut self, process: usize) {
        let (Some(file), Some(open)) = (&self.maps_file, &mut self.open_maps) else { return };
        if open.of != process {
            return;
        }
        let Some((_, pid)) = self.life.tasks.of_process(process) else { return };
        let Ok(vmas) = self.vm.vmas(pid, 0, u64::MAX) else { return };
        let adopted = self.processes[process].adopted.clone();
        open.reading.look(&Moment { vmas, adopted, page_size: self.vm.page_size() }, file);
        self.maps = Some(open.reading.report(file));
        if !open.wait() {
            self.open_maps = None;
        }
    }
}
