//! Memory calls of a log, made again: where the log says that the kernel put something, it goes.

use super::FaultIn;
use super::player::{Caller, Got, Logged, Player};
use super::tally::AdoptedRange;
use crate::observe::Observer;
use ptelab_machine::{
    Access, Adopted, AdoptedAs, CallError, Errno, FileId, FileMode, MapFlags, MclFlags, MremapFlags, MsFlags,
    Pid, Prot, Sharing, ShmFlags, ThpDisable, VirtAddr, VmFlags,
};
use ptelab_scenario as scenario;
use ptelab_scenario::strace::{Fd, Outcome, Syscall};

/// The largest mapping, in bytes, of which first use is assumed: what is larger is a reservation.
const MAX_FAULT_IN: u64 = 1 << 30;

/// The name of memory that was mapped before a log begins.
const BEFORE: &str = "[before the log]";

impl<O: Observer> Player<O> {
    /// Makes a call that is about memory.
    pub(super) fn memory_call(&mut self, caller: Caller, logged: Logged<'_>) -> Got {
        let pid = caller.pid;
        let succeeds = matches!(logged.call.outcome, Outcome::Value(_));
        if succeeds && let Some((addr, len)) = needs_mapped(&logged.call.call) {
            self.adopt(caller, logged.line, addr, len);
        }
        let zero = |done: Result<(), CallError>| Got::Result(done.map(|()| 0));
        match &logged.call.call {
            Syscall::Mmap { .. } => self.mmap(caller, logged),
            &Syscall::Mprotect { addr, len, .. } if self.may_be_refused(pid, logged, addr, len) => {
                Got::Skipped("that a file refused")
            }
            &Syscall::Munmap { addr, len } => zero(self.vm.munmap(pid, addr, len)),
            &Syscall::Mprotect { addr, len, prot, pkey: None } => {
                zero(self.vm.mprotect(pid, addr, len, Prot::from_bits_retain(prot)))
            }
            &Syscall::Mprotect { addr, len, prot, pkey: Some(pkey) } => {
                zero(self.vm.pkey_mprotect(pid, addr, len, Prot::from_bits_retain(prot), pkey))
            }
            &Syscall::Madvise { addr, len, advice } => zero(self.vm.madvise(pid, addr, len, advice)),
            Syscall::ProcessMadvise { pidfd, ranges: Some(ranges), advice, flags, .. } => {
                if pidfd.as_ref().and_then(Fd::pid).is_some_and(|whose| Some(whose) != caller.log_pid) {
                    return Got::Skipped("on another process");
                }
                let ranges: Vec<_> = ranges.iter().map(|range| (range.addr, range.len)).collect();
                Got::Result(self.vm.process_madvise(pid, &ranges, *advice, *flags))
            }
            Syscall::ProcessMadvise { .. } => Got::Skipped("of which the log does not have the arguments"),
            Syscall::Mremap { .. } => self.mremap(pid, logged),
            &Syscall::Brk { addr } => self.brk(caller, logged, addr),
            &Syscall::Mlock { addr, len, flags: 0 } => zero(self.vm.mlock(pid, addr, len)),
            &Syscall::Mlock { addr, len, flags } => zero(self.vm.mlock2(pid, addr, len, flags)),
            &Syscall::Munlock { addr, len } => zero(self.vm.munlock(pid, addr, len)),
            &Syscall::Mlockall { flags } => zero(self.vm.mlockall(pid, MclFlags::from_bits_retain(flags))),
            Syscall::Munlockall => zero(self.vm.munlockall(pid)),
            &Syscall::Msync { addr, len, flags } => {
                zero(self.vm.msync(pid, addr, len, MsFlags::from_bits_retain(flags)))
            }
            &Syscall::Mincore { addr, len } => Got::Result(self.vm.mincore(pid, addr, len).map(|_| 0)),
            &Syscall::SetThpDisable { on, flags } => match thp_disable(on, flags) {
                Some(disable) => zero(self.vm.set_thp_disable(pid, disable)),
                None => Got::Result(Err(Errno::Einval.into())),
            },
            Syscall::GetThpDisable => Got::AsLogged,
            Syscall::SetVmaAnonName { name: Some(name), .. } if name.truncated => {
                Got::Skipped("of which the log does not have the arguments")
            }
            Syscall::SetVmaAnonName { addr, len, name } => {
                let name = name.as_ref().map(|name| name.text.as_str());
                zero(self.vm.set_anon_vma_name(pid, *addr, *len, name))
            }
            Syscall::Shmget { .. }
            | Syscall::Shmat { .. }
            | Syscall::Shmdt { .. }
            | Syscall::ShmRemove { .. } => self.shm(pid, logged),
            _ => Got::Skipped("that are not about memory"),
        }
    }

    fn mmap(&mut self, caller: Caller, logged: Logged<'_>) -> Got {
        let Syscall::Mmap { addr, len, prot, flags, ref fd, offset } = logged.call.call else {
            return Got::Skipped("that are not about memory");
        };
        let prot = Prot::from_bits_retain(prot);
        // Huge pages of hugetlbfs are not emulated: such memory is mapped as ordinary memory.
        let flags = MapFlags::from_bits_retain(flags) - MapFlags::HUGETLB;
        let file =
            if flags.contains(MapFlags::ANONYMOUS) { None } else { Some(self.file(caller, fd.as_ref())) };
        let Outcome::Value(at) = logged.call.outcome else {
            if !flags.contains(MapFlags::ANONYMOUS) {
                return Got::Skipped("that a file refused");
            }
            let got = self.vm.mmap(caller.pid, addr, len, prot, flags);
            if let Ok(at) = got {
                let _ = self.vm.munmap(caller.pid, at, len);
            }
            return Got::Result(got);
        };
        let fixed = flags.intersects(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE);
        let flags = if fixed { flags } else { flags | MapFlags::FIXED_NOREPLACE };
        let make = |player: &mut Self| match file {
            None => player.vm.mmap(caller.pid, at, len, prot, flags),
            Some(file) => player.vm.mmap_file(caller.pid, at, len, prot, flags, (file, offset)),
        };
        let mut got = make(self);
        if got == Err(CallError::Errno(Errno::Eexist)) && self.unmap_early((at, at.saturating_add(len))) {
            got = make(self);
        }
        Got::Result(got)
    }

    /// Makes the calls that other tasks have begun to unmap memory of a range; says whether there were any.
    fn unmap_early(&mut self, range: (u64, u64)) -> bool {
        let begun = self.tasks().take_begun_unmaps(range);
        for (pid, call) in &begun {
            if let Syscall::Munmap { addr, len } = call.call {
                let _ = self.vm.munmap(*pid, addr, len);
            }
        }
        !begun.is_empty()
    }

    /// The file behind a descriptor: by the path that the log has, or that the log showed being opened, or by its number.
    fn file(&mut self, caller: Caller, fd: Option<&Fd>) -> FileId {
        let number = fd.map_or(-1, |fd| fd.number);
        let opened = || self.processes[caller.process].opened.get(&number).cloned();
        let path = fd.and_then(|fd| fd.path.clone()).or_else(opened);
        let path = path.unwrap_or_else(|| format!("descriptor {number}"));
        self.open_file(path)
    }

    fn open_file(&mut self, path: String) -> FileId {
        if let Some(&known) = self.files.get(&path) {
            return known;
        }
        let file = self.vm.open(&path, FileMode::READ | FileMode::WRITE, None);
        self.files.insert(path, file);
        file
    }

    /// Moves memory to where the log says it went.
    fn mremap(&mut self, pid: Pid, logged: Logged<'_>) -> Got {
        let Syscall::Mremap { old_addr, old_len, new_len, flags, new_addr } = logged.call.call else {
            return Got::Skipped("that are not about memory");
        };
        let flags = MremapFlags::from_bits_retain(flags);
        let Outcome::Value(at) = logged.call.outcome else {
            return Got::Result(self.vm.mremap(
                pid,
                old_addr,
                old_len,
                new_len,
                flags,
                new_addr.unwrap_or(0),
            ));
        };
        let moves = at != old_addr && !flags.contains(MremapFlags::FIXED);
        let flags = if moves { flags | MremapFlags::FIXED } else { flags };
        if moves && self.is_mapped(pid, at, new_len) && !self.unmap_early((at, at.saturating_add(new_len))) {
            return Got::Result(Err(Errno::Eexist.into()));
        }
        Got::Result(self.vm.mremap(
            pid,
            old_addr,
            old_len,
            new_len,
            flags,
            if moves { at } else { new_addr.unwrap_or(0) },
        ))
    }

    fn brk(&mut self, caller: Caller, logged: Logged<'_>, addr: u64) -> Got {
        if !self.processes[caller.process].brk_known
            && let Outcome::Value(now) = logged.call.outcome
        {
            self.processes[caller.process].brk_known = true;
            if let Err(error) = self.vm.set_brk(caller.pid, now, now) {
                return Got::Result(Err(error));
            }
        }
        Got::Result(self.vm.brk(caller.pid, addr))
    }

    fn shm(&mut self, pid: Pid, logged: Logged<'_>) -> Got {
        let outcome = &logged.call.outcome;
        match logged.call.call {
            Syscall::Shmget { key, size, flags } => {
                let got = self.vm.shmget(key as u32, size, ShmFlags::from_bits_retain(flags));
                if let (Ok(ours), Outcome::Value(theirs)) = (&got, outcome) {
                    self.segments.insert(*theirs as i32, *ours);
                    return Got::AsLogged;
                }
                Got::Result(got.map(|_| 0))
            }
            Syscall::Shmat { id, addr, flags } => {
                let Some(&segment) = self.segments.get(&id) else {
                    return Got::Skipped("on segments that the log does not show being made");
                };
                let at = if let Outcome::Value(at) = outcome { *at } else { addr };
                Got::Result(self.vm.shmat(pid, segment, at, ShmFlags::from_bits_retain(flags)))
            }
            Syscall::Shmdt { addr } if !self.is_mapped(pid, addr, 1) => {
                Got::Skipped("on segments that the log does not show being made")
            }
            Syscall::Shmdt { addr } => Got::Result(self.vm.shmdt(pid, addr).map(|()| 0)),
            Syscall::ShmRemove { id } => {
                let Some(&segment) = self.segments.get(&id) else {
                    return Got::Skipped("on segments that the log does not show being made");
                };
                Got::Result(self.vm.shm_rmid(segment).map(|()| 0))
            }
            _ => Got::Skipped("that are not about memory"),
        }
    }

    /// Whether a call failed as it does where a file was not opened for writing, which a log need not show.
    fn may_be_refused(&self, pid: Pid, logged: Logged<'_>, addr: u64, len: u64) -> bool {
        let refused = matches!(&logged.call.outcome, Outcome::Failed(errno) if errno.name() == "EACCES");
        refused
            && self
                .vm
                .areas(pid, addr, len)
                .is_ok_and(|areas| areas.iter().any(|area| area.flags.contains(VmFlags::MAYSHARE)))
    }

    fn is_mapped(&self, pid: Pid, addr: u64, len: u64) -> bool {
        self.vm.areas(pid, addr, len).is_ok_and(|areas| !areas.is_empty())
    }

    /// Takes in what a range lacks: the log shows that it was mapped.
    fn adopt(&mut self, caller: Caller, line: u64, addr: u64, len: u64) {
        let page = self.vm.page_size();
        let (start, end) = (addr - addr % page, addr.saturating_add(len).next_multiple_of(page));
        let Ok(areas) = self.vm.areas(caller.pid, start, end.saturating_sub(start)) else { return };
        let mut at = start;
        for (from, to) in areas.iter().map(|area| (area.start.get(), area.end.get())).chain([(end, end)]) {
            if at < from.min(end) {
                self.adopt_range(caller, line, at, from.min(end));
            }
            at = at.max(to);
        }
    }

    fn adopt_range(&mut self, caller: Caller, line: u64, start: u64, end: u64) {
        let file = self.open_file(BEFORE.to_owned());
        let adopted = Adopted {
            start: VirtAddr::new(start),
            end: VirtAddr::new(end),
            prot: Prot::READ | Prot::WRITE,
            sharing: Sharing::Private,
            of: AdoptedAs::File(file, start),
        };
        if self.vm.adopt(caller.pid, &adopted).is_ok() {
            self.processes[caller.process].adopted.push((start, end));
            if let Some(script) = &mut self.script {
                script.adopt(caller.process, start, end);
            }
            self.tally.adopt(AdoptedRange { line, start, end });
        }
    }

    /// After a call that gave a program new memory, or made it writable, its pages are used for the first time: all those
    /// that the options say.
    pub(super) fn first_use(&mut self, caller: Caller, logged: Logged<'_>) {
        let Outcome::Value(value) = logged.call.outcome else { return };
        let (addr, len) = match logged.call.call {
            Syscall::Mmap { len, .. } => (value, len),
            Syscall::Mremap { new_len, .. } => (value, new_len),
            Syscall::Mprotect { addr, len, .. } => (addr, len),
            Syscall::Brk { addr } if addr == value => {
                (value.saturating_sub(MAX_FAULT_IN / 64), MAX_FAULT_IN / 64)
            }
            _ => return,
        };
        if self.fault_in == FaultIn::None {
            return;
        }
        let Ok(areas) = self.vm.areas(caller.pid, addr, len) else { return };
        let end = addr.saturating_add(len);
        for area in areas {
            let writable = area.flags.contains(VmFlags::WRITE);
            let readable = area.flags.contains(VmFlags::READ);
            let (from, to) = (area.start.get().max(addr), area.end.get().min(end));
            let reserved = area.flags.contains(VmFlags::NORESERVE) || to - from > MAX_FAULT_IN;
            if writable && !reserved {
                self.use_pages(caller, (from, to), Access::Write);
            } else if readable && !reserved && self.fault_in == FaultIn::All {
                self.use_pages(caller, (from, to), Access::Read);
            }
        }
    }

    fn use_pages(&mut self, caller: Caller, (from, to): (u64, u64), access: Access) {
        // Where an access goes too far for its file, the program would not have made it.
        let _ = self.vm.touch(caller.pid, from, to - from, access);
        if let Some(script) = &mut self.script {
            let access =
                if access == Access::Write { scenario::Access::Write } else { scenario::Access::Read };
            script.touch(caller.process, (from, to), access);
        }
    }

    /// One access to a page, a write where the mapping allows it.
    pub(super) fn access_page(&mut self, caller: Caller, addr: u64) {
        let writable = self
            .vm
            .areas(caller.pid, addr, 1)
            .is_ok_and(|areas| areas.iter().any(|area| area.flags.contains(VmFlags::WRITE)));
        let access = if writable { Access::Write } else { Access::Read };
        self.use_pages(caller, (addr, addr.saturating_add(1)), access);
    }
}

/// The range that must be mapped for a call to succeed.
fn needs_mapped(call: &Syscall) -> Option<(u64, u64)> {
    match *call {
        Syscall::Mprotect { addr, len, .. }
        | Syscall::Madvise { addr, len, .. }
        | Syscall::Mlock { addr, len, .. }
        | Syscall::Munlock { addr, len }
        | Syscall::Msync { addr, len, .. }
        | Syscall::Mincore { addr, len }
        | Syscall::SetVmaAnonName { addr, len, .. }
        | Syscall::Mremap { old_addr: addr, old_len: len, .. } => Some((addr, len)),
        _ => None,
    }
}

/// `PR_THP_DISABLE_EXCEPT_ADVISED` (`include/uapi/linux/prctl.h`, 7.3).
const EXCEPT_ADVISED: u64 = 1 << 1;

fn thp_disable(on: u64, flags: u64) -> Option<ThpDisable> {
    match (on, flags) {
        (0, 0) => Some(ThpDisable::No),
        (0, _) => None,
        (_, 0) => Some(ThpDisable::Completely),
        (_, EXCEPT_ADVISED) => Some(ThpDisable::ExceptAdvised),
        _ => None,
    }
}
