//! Memory calls of a log, made again: where the log says that the kernel put something, it goes.

use crate::call::{Caller, Got, Logged};
use crate::effects::{needs, prepares};
use crate::options::FaultIn;
use crate::player::Player;
use crate::refused;
use crate::smaps::used_of;
use crate::tally::AdoptedRange;
use ptelab_machine::mm::Rules;
use ptelab_machine::{
    Access, Area, Call, CallError, Errno, FileMode, MapFlags, MremapFlags, Pid, Prot, VmFlags,
};
use ptelab_run::observe::Observer;
use ptelab_scenario::strace::{Fd, LoggedOutcome, Syscall};

/// The largest mapping, in bytes, of which first use is assumed: what is larger is a reservation.
const MAX_FAULT_IN: u64 = 1 << 30;

/// A rule of old releases.
const MANY_VMAS: &str = "EFAULT where mremap moves several mappings at once, which it may from 6.17 on";

/// The name of memory that was mapped before a log begins.
const BEFORE: &str = "[before the log]";

impl<O: Observer> Player<O> {
    /// Makes a call that is about memory.
    pub(crate) fn memory_call(&mut self, caller: Caller, logged: Logged<'_>) -> Got {
        let pid = caller.pid;
        if let Some((addr, len)) = needs(logged.call) {
            self.adopt(caller, logged.line, addr, len);
        }
        match &logged.call.call {
            Syscall::Mmap { .. } => self.mmap(caller, logged),
            &Syscall::Mprotect { addr, len, .. } if self.may_be_refused(pid, logged, addr, len) => {
                Got::Skipped("that a file refused")
            }
            &Syscall::Mprotect { addr, len, prot, pkey: None } if prot.contains(Prot::GROWSDOWN) => {
                Got::Result(self.mprotect_stack(pid, logged, (addr, len), prot))
            }
            Syscall::ProcessMadvise { pidfd, .. }
                if pidfd.as_ref().and_then(Fd::pid).is_some_and(|whose| Some(whose) != caller.log_pid) =>
            {
                Got::Skipped("on another process")
            }
            Syscall::Mremap { .. } => self.mremap(caller, logged),
            &Syscall::Brk { addr } => self.brk(caller, logged, addr),
            Syscall::GetThpDisable => Got::AsLogged,
            Syscall::PkeyAlloc { .. }
            | Syscall::PkeyFree { .. }
            | Syscall::Mprotect { pkey: Some(_), .. } => self.pkey(caller, logged),
            Syscall::Shmget { .. }
            | Syscall::Shmat { .. }
            | Syscall::Shmdt { .. }
            | Syscall::ShmRemove { .. } => self.shm(pid, logged),
            other => match as_logged(other) {
                Ok(call) => Got::Result(self.make_logged(pid, logged, &call)),
                Err(why) => Got::Skipped(why),
            },
        }
    }

    /// mprotect with `PROT_GROWSDOWN`, of a mapping that grows: one that was there before the log begins, as a program's first
    /// stack, is not known to, and is taken as it is named.
    fn mprotect_stack(
        &mut self,
        pid: Pid,
        logged: Logged<'_>,
        (addr, len): (u64, u64),
        prot: Prot,
    ) -> Result<u64, CallError> {
        let call = Call::Mprotect { addr, len, prot };
        let succeeds = matches!(logged.call.outcome, LoggedOutcome::Value(_));
        if succeeds && self.vm.foresee(pid, &call).result() == Err(Errno::EINVAL.into()) {
            return self.make(pid, &Call::Mprotect { addr, len, prot: prot - Prot::GROWSDOWN });
        }
        self.make_logged(pid, logged, &call)
    }

    /// Makes a call of the log here, if it did something there: a call that was refused is not carried out, whatever it would
    /// come to. What it may have done before it failed is done.
    fn make_logged(&mut self, pid: Pid, logged: Logged<'_>, call: &Call) -> Result<u64, CallError> {
        if let LoggedOutcome::Failed(_) | LoggedOutcome::FailedOther(_) = logged.call.outcome {
            self.try_call(pid, call)
        } else {
            self.make(pid, call)
        }
    }

    /// Makes a call only if it fails, or changes nothing.
    pub(crate) fn try_call(&mut self, pid: Pid, call: &Call) -> Result<u64, CallError> {
        if let Call::Mincore { .. } = call {
            return self.make(pid, call);
        }
        let foreseen = self.vm.foresee(pid, call).result();
        if foreseen.is_ok() { foreseen } else { self.make(pid, call) }
    }

    /// Makes a call here.
    pub(crate) fn make(&mut self, pid: Pid, call: &Call) -> Result<u64, CallError> {
        let outcome = self.vm.call(pid, call);
        if let Some(script) = &mut self.script {
            script.made(pid, call, outcome);
        }
        outcome.result()
    }

    fn mmap(&mut self, caller: Caller, logged: Logged<'_>) -> Got {
        let Syscall::Mmap { addr, len, prot, flags, ref fd, offset } = logged.call.call else {
            return Got::Skipped("that are not about memory");
        };
        let of_file = !flags.contains(MapFlags::ANONYMOUS);
        let LoggedOutcome::Value(at) = logged.call.outcome else {
            if of_file {
                return Got::Skipped("that a file refused");
            }
            let call = Call::Mmap { addr, len, prot, flags, fd: -1, offset: 0 };
            return Got::Result(self.try_call(caller.pid, &call));
        };
        // There are no huge pages set aside: such memory is mapped as ordinary memory where the log's machine had some.
        let flags = flags - MapFlags::HUGETLB;
        let fd = if of_file { self.file(caller, fd.as_ref()) } else { -1 };
        let fixed = flags.intersects(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE);
        let flags = if fixed { flags } else { flags | MapFlags::FIXED_NOREPLACE };
        let call = Call::Mmap { addr: at, len, prot, flags, fd, offset };
        let mut got = self.make(caller.pid, &call);
        if got == Err(CallError::Errno(Errno::EEXIST)) && !fixed && self.unmap_unseen(caller, (at, len)) {
            got = self.make(caller.pid, &call);
        }
        Got::Result(got)
    }

    /// Unmaps what the log shows to be free again, where somebody may have unmapped it of whom the log has no lines.
    fn unmap_unseen(&mut self, caller: Caller, (addr, len): (u64, u64)) -> bool {
        let may_be = self.may_lack_lines(caller);
        if may_be {
            let _ = self.make(caller.pid, &Call::Munmap { addr, len });
            self.tally.freed_unseen += 1;
        }
        may_be
    }

    /// The file behind a descriptor: by the path that the log has, or that the log showed being opened, or by its number.
    fn file(&mut self, caller: Caller, fd: Option<&Fd>) -> i32 {
        let number = fd.map_or(-1, |fd| fd.number);
        let opened = || self.processes[caller.process].opened.get(&number).cloned();
        let path = fd.and_then(|fd| fd.path.clone()).or_else(opened);
        let path = path.unwrap_or_else(|| format!("descriptor {number}"));
        self.open_file(caller.pid, path)
    }

    fn open_file(&mut self, pid: Pid, path: String) -> i32 {
        if let Some(&known) = self.files.get(&path) {
            return known;
        }
        let mode = FileMode::READ | FileMode::WRITE;
        let opened = self.make(pid, &Call::Open { path: path.clone(), mode, size: None });
        let file = opened.ok().and_then(|file| i32::try_from(file).ok()).unwrap_or(-1);
        self.files.insert(path, file);
        file
    }

    /// Moves memory to where the log says it went.
    fn mremap(&mut self, caller: Caller, logged: Logged<'_>) -> Got {
        let pid = caller.pid;
        let Syscall::Mremap { old_addr, old_len, new_len, flags, new_addr } = logged.call.call else {
            return Got::Skipped("that are not about memory");
        };
        let new_addr = new_addr.unwrap_or(0);
        let LoggedOutcome::Value(at) = logged.call.outcome else {
            let call = Call::Mremap { old_addr, old_len, new_len, flags, new_addr };
            return Got::Result(self.try_call(pid, &call));
        };
        let moves = at != old_addr && !flags.contains(MremapFlags::FIXED);
        if moves && self.is_mapped(pid, at, new_len) && !self.unmap_unseen(caller, (at, new_len)) {
            return Got::Result(Err(Errno::EEXIST.into()));
        }
        let (flags, new_addr) = if moves { (flags | MremapFlags::FIXED, at) } else { (flags, new_addr) };
        let moved = Call::Mremap { old_addr, old_len, new_len, flags, new_addr };
        let mut got = self.make(pid, &moved);
        if got == Err(Errno::EFAULT.into()) && self.processes[caller.process].was_mixed {
            // What is there in pieces is what another mapped.
            let _ = self.make(pid, &Call::Munmap { addr: old_addr, len: old_len });
            self.adopt(caller, logged.line, old_addr, old_len);
            got = self.make(pid, &moved);
        }
        let refused = got == Err(Errno::EFAULT.into()) && old_len == new_len && !moves;
        if refused
            && !Rules::of(self.vm.rules()).mremap_many_vmas
            && self.move_each(pid, (old_addr, old_len), new_addr)
        {
            return Got::ByRule(MANY_VMAS);
        }
        Got::Result(got)
    }

    /// Moves the mappings of a range one by one, where it has several and begins with one; says whether that is so.
    fn move_each(&mut self, pid: Pid, (from, len): (u64, u64), to: u64) -> bool {
        let end = from.saturating_add(len);
        let Ok(areas) = self.vm.areas(pid, from, len) else { return false };
        let starts = areas.first().is_some_and(|area| area.start.get() <= from);
        if !starts || areas.len() < 2 {
            return false;
        }
        for area in areas {
            let (start, end) = (area.start.get().max(from), area.end.get().min(end));
            let (flags, len) = (MremapFlags::MAYMOVE | MremapFlags::FIXED, end - start);
            let (old_addr, old_len, new_len, new_addr) = (start, len, len, to + (start - from));
            let _ = self.make(pid, &Call::Mremap { old_addr, old_len, new_len, flags, new_addr });
        }
        true
    }

    fn brk(&mut self, caller: Caller, logged: Logged<'_>, addr: u64) -> Got {
        if let LoggedOutcome::Value(now) = logged.call.outcome
            && self.processes[caller.process].was_mixed
            && self.vm.foresee(caller.pid, &Call::Brk { addr }).result() != Ok(now)
        {
            // What was known is the heap of another.
            self.processes[caller.process].brk_known = false;
        }
        if !self.processes[caller.process].brk_known
            && let LoggedOutcome::Value(now) = logged.call.outcome
        {
            self.processes[caller.process].brk_known = true;
            if let Err(error) = self.make(caller.pid, &Call::SetBrk { start: now, end: now }) {
                return Got::Result(Err(error));
            }
        }
        let call = Call::Brk { addr };
        if let LoggedOutcome::Value(now) = logged.call.outcome
            && addr > now
            && self.vm.foresee(caller.pid, &call).result() == Ok(addr)
        {
            return Got::Refused(refused::MEMORY);
        }
        let got = self.make(caller.pid, &call);
        if let (true, Ok(end)) = (self.life.attached, got)
            && addr < end
            && logged.call.outcome == LoggedOutcome::Value(addr)
        {
            // It begins further down than it was at first seen.
            let _ = self.make(caller.pid, &Call::SetBrk { start: addr, end });
            self.adopt(caller, logged.line, addr, end - addr);
            return Got::Result(self.make(caller.pid, &call));
        }
        Got::Result(got)
    }

    /// Whether a call failed as it does where a file was not opened for writing, which a log need not show.
    fn may_be_refused(&self, pid: Pid, logged: Logged<'_>, addr: u64, len: u64) -> bool {
        let refused =
            matches!(&logged.call.outcome, LoggedOutcome::Failed(errno) if errno.name() == "EACCES");
        refused
            && self
                .vm
                .areas(pid, addr, len)
                .is_ok_and(|areas| areas.iter().any(|area| area.flags.contains(VmFlags::MAYSHARE)))
    }

    pub(crate) fn is_mapped(&self, pid: Pid, addr: u64, len: u64) -> bool {
        self.vm.areas(pid, addr, len).is_ok_and(|areas| !areas.is_empty())
    }

    /// Takes in what a range lacks: the log shows that it was mapped.
    pub(crate) fn adopt(&mut self, caller: Caller, line: u64, addr: u64, len: u64) {
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
        let file = self.open_file(caller.pid, BEFORE.to_owned());
        let (prot, flags, name) = (Prot::READ | Prot::WRITE, MapFlags::PRIVATE, None);
        let (addr, len, offset) = (start, end - start, start);
        let adopted = Call::Adopt { addr, len, prot, flags, fd: file, offset, name };
        if self.make(caller.pid, &adopted).is_ok() {
            self.processes[caller.process].adopted.push((start, end));
            self.tally.adopt(AdoptedRange { line, start, end });
        }
    }

    /// After a call that gave a program new memory, or made it writable, its pages are used for the first time: all those
    /// that the options say, once the program has said what it has to say of them. Says whether there may be any.
    pub(crate) fn first_use(&mut self, caller: Caller, logged: Logged<'_>) -> bool {
        let unused = self.processes[caller.process].unused.remove(&caller.log_pid);
        let LoggedOutcome::Value(value) = logged.call.outcome else { return false };
        let range = match logged.call.call {
            Syscall::Mmap { len, .. } => Some((value, len)),
            Syscall::Mremap { new_len, .. } => Some((value, new_len)),
            Syscall::Mprotect { addr, len, .. } => Some((addr, len)),
            Syscall::Brk { addr } if addr == value => {
                Some((value.saturating_sub(MAX_FAULT_IN / 64), MAX_FAULT_IN / 64))
            }
            _ if prepares(logged.call).is_some() => unused,
            _ => None,
        };
        let Some((addr, len)) = range.filter(|_| self.fault_in != FaultIn::None || !self.smaps.is_empty())
        else {
            return false;
        };
        if self.parts.is_prepared(caller.log_pid, (addr, len)) {
            self.processes[caller.process].unused.insert(caller.log_pid, (addr, len));
            return false;
        }
        let Ok(areas) = self.vm.areas(caller.pid, addr, len) else { return false };
        let end = addr.saturating_add(len);
        for area in areas {
            self.first_use_of(caller, &area, (area.start.get().max(addr), area.end.get().min(end)));
        }
        true
    }

    /// The same, of a part of a mapping.
    fn first_use_of(&mut self, caller: Caller, area: &Area, (from, to): (u64, u64)) {
        let writable = area.flags.contains(VmFlags::WRITE);
        let readable = area.flags.contains(VmFlags::READ);
        let (used, unknown) = used_of(&self.smaps, (from, to));
        if writable || readable {
            let access = if writable { Access::Write } else { Access::Read };
            for part in used {
                self.use_pages(caller, part, access);
            }
        }
        let reserved = area.flags.contains(VmFlags::NORESERVE) || to - from > MAX_FAULT_IN;
        let access = match self.fault_in {
            FaultIn::Writable | FaultIn::All if writable && !reserved => Access::Write,
            FaultIn::All if readable && !reserved => Access::Read,
            _ => return,
        };
        for part in unknown {
            self.use_pages(caller, part, access);
        }
    }

    fn use_pages(&mut self, caller: Caller, (from, to): (u64, u64), access: Access) {
        // Where an access goes too far for its file, the program would not have made it.
        let _ = self.make(caller.pid, &Call::Touch { addr: from, len: to - from, access });
    }

    /// One access to a page.
    pub(crate) fn access_page(&mut self, caller: Caller, addr: u64) {
        self.access(caller, (addr, addr.saturating_add(1)));
    }

    /// An access to every page of a range, a write where the mapping allows it.
    pub(crate) fn access(&mut self, caller: Caller, (from, to): (u64, u64)) {
        let Ok(areas) = self.vm.areas(caller.pid, from, to - from) else { return };
        for area in areas {
            let part = (area.start.get().max(from), area.end.get().min(to));
            let writable = area.flags.contains(VmFlags::WRITE);
            self.use_pages(caller, part, if writable { Access::Write } else { Access::Read });
        }
    }
}

/// The call that a log has, where the log has all of it and the kernel chose nothing.
fn as_logged(call: &Syscall) -> Result<Call, &'static str> {
    const LACKS: &str = "of which the log does not have the arguments";
    Ok(match *call {
        Syscall::Munmap { addr, len } => Call::Munmap { addr, len },
        Syscall::Mprotect { addr, len, prot, pkey: None } => Call::Mprotect { addr, len, prot },
        Syscall::Mseal { addr, len, flags } => Call::Mseal { addr, len, flags },
        Syscall::Madvise { addr, len, advice } => Call::Madvise { addr, len, advice },
        Syscall::ProcessMadvise { ref ranges, advice, flags, count, .. } => {
            let ranges = ranges.as_ref().filter(|ranges| ranges.len() as u64 == count).ok_or(LACKS)?;
            let ranges = ranges.iter().map(|range| (range.addr, range.len)).collect();
            Call::ProcessMadvise { ranges, advice, flags }
        }
        Syscall::Mlock { addr, len, flags } if flags.is_empty() => Call::Mlock { addr, len },
        Syscall::Mlock { addr, len, flags } => Call::Mlock2 { addr, len, flags },
        Syscall::Munlock { addr, len } => Call::Munlock { addr, len },
        Syscall::Mlockall { flags } => Call::Mlockall { flags },
        Syscall::Munlockall => Call::Munlockall {},
        Syscall::Msync { addr, len, flags } => Call::Msync { addr, len, flags },
        Syscall::Mincore { addr, len } => Call::Mincore { addr, len },
        Syscall::SetThpDisable { on, flags } => Call::SetThpDisable { on, flags },
        Syscall::SetVmaAnonName { name: Some(ref name), .. } if name.truncated => return Err(LACKS),
        Syscall::SetVmaAnonName { addr, len, ref name } => {
            Call::SetVmaAnonName { addr, len, name: name.as_ref().map(|name| name.text.clone()) }
        }
        Syscall::Mmap { .. }
        | Syscall::Mremap { .. }
        | Syscall::Mprotect { .. }
        | Syscall::PkeyAlloc { .. }
        | Syscall::PkeyFree { .. }
        | Syscall::Brk { .. }
        | Syscall::Shmget { .. }
        | Syscall::Shmat { .. }
        | Syscall::Shmdt { .. }
        | Syscall::ShmRemove { .. }
        | Syscall::GetThpDisable
        | Syscall::Fork
        | Syscall::Vfork
        | Syscall::Clone { .. }
        | Syscall::Execve { .. }
        | Syscall::Exit { .. }
        | Syscall::ExitGroup { .. }
        | Syscall::Read { .. }
        | Syscall::Close { .. }
        | Syscall::Open { .. } => return Err("that are not about memory"),
    })
}
