//! A log, written as a scenario while it is replayed.
//!
//! The scenario language has memory of no file only, processes without threads, and no heap: file mappings become anonymous
//! ones with the file in a comment, threads are their process, the heap is mapped and unmapped, a program that is
//! executed begins with nothing mapped. Calls that the language does not have are comments.

use crate::call::Logged;
use ptelab_machine::{Access, Call, MapFlags, MremapFlags, Prot, ThpKey, ThpMode};
use ptelab_scenario::strace::{LoggedOutcome, Syscall};
use ptelab_scenario::{Expect, Line};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// End of user addresses that a program which is executed may have used.
const EVERYTHING: u64 = 1 << 46;

/// The writer.
pub(crate) struct Script {
    out: Box<dyn Write + Send>,
    /// Processes of the log, as indexes, by their numbers in the scenario.
    pids: BTreeMap<usize, u32>,
    last_pid: u32,
    /// The ends of heaps, by process.
    heaps: BTreeMap<usize, u64>,
    failed: Option<io::Error>,
}

impl Script {
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, pids: BTreeMap::from([(0, 1)]), last_pid: 1, heaps: BTreeMap::new(), failed: None }
    }

    /// The first thing that could not be written.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }

    fn text(&mut self, text: &str) {
        if self.failed.is_none()
            && let Err(error) = writeln!(self.out, "{text}")
        {
            self.failed = Some(error);
        }
    }

    /// A remark: a line that does nothing.
    fn remark(&mut self, text: &str) {
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.text(&format!("# {clean}"));
    }

    fn line(&mut self, process: usize, call: Call, expect: Option<Expect>, comment: Option<String>) {
        let pid = self.pids.get(&process).copied().filter(|&pid| pid != 1);
        let comment = comment.map(|text| format!(" {}", text.replace(char::is_control, " ")));
        self.text(&Line { pid, call, expect, comment, line: 0 }.to_string());
    }

    /// A huge page setting of the machine.
    pub(crate) fn thp(&mut self, size: ThpKey, mode: ThpMode) {
        self.line(0, Call::Thp { size, mode }, None, None);
    }

    /// Memory that was there before the log begins.
    pub(crate) fn adopt(&mut self, process: usize, start: u64, end: u64) {
        let call = anonymous(start, end - start, RW, MapFlags::PRIVATE);
        self.line(process, call, None, Some("mapped before the log begins".to_owned()));
    }

    /// A process that another made.
    pub(crate) fn fork(&mut self, parent: usize, child: usize) {
        self.last_pid += 1;
        self.line(parent, Call::Fork {}, Some(Expect::Value(self.last_pid.into())), None);
        self.pids.insert(child, self.last_pid);
        if let Some(&heap) = self.heaps.get(&parent) {
            self.heaps.insert(child, heap);
        }
    }

    /// A program that is executed.
    pub(crate) fn execve(&mut self, process: usize, program: Option<&str>) {
        self.remark(&format!("{} begins", program.unwrap_or("another program")));
        self.heaps.remove(&process);
        self.line(process, Call::Munmap { addr: 0, len: EVERYTHING * 2 - 4096 }, None, None);
    }

    /// A process that ends.
    pub(crate) fn exit(&mut self, process: usize) {
        self.line(process, Call::ExitGroup { status: 0 }, None, None);
    }

    /// Pages that are used.
    pub(crate) fn touch(&mut self, process: usize, (addr, end): (u64, u64), access: Access) {
        self.line(process, Call::Touch { addr, len: end - addr, access }, None, None);
    }

    /// A call about memory.
    pub(crate) fn call(&mut self, process: usize, logged: Logged<'_>) {
        let expect = match &logged.call.outcome {
            LoggedOutcome::Value(value) => Some(Expect::Value(*value)),
            LoggedOutcome::Failed(errno) => Some(Expect::Errno(*errno)),
            _ => None,
        };
        match &logged.call.call {
            Syscall::Mmap { .. } => self.mmap(process, logged, expect),
            &Syscall::Brk { addr } => self.brk(process, logged, addr),
            &Syscall::Munmap { addr, len } => self.line(process, Call::Munmap { addr, len }, expect, None),
            &Syscall::Mprotect { addr, len, prot, pkey: None | Some(-1) } => {
                self.line(process, Call::Mprotect { addr, len, prot }, expect, None);
            }
            &Syscall::Madvise { addr, len, advice } => {
                self.line(process, Call::Madvise { addr, len, advice }, expect, None);
            }
            &Syscall::Mremap { old_addr, old_len, new_len, flags, new_addr } => {
                let (flags, new_addr) = match logged.call.outcome {
                    LoggedOutcome::Value(at) if at != old_addr => (flags | MremapFlags::FIXED, at),
                    _ => (flags, new_addr.unwrap_or(0)),
                };
                self.line(
                    process,
                    Call::Mremap { old_addr, old_len, new_len, flags, new_addr },
                    expect,
                    None,
                );
            }
            _ => self.remark(&format!("line {}: {}", logged.line, logged.call.text)),
        }
    }

    fn mmap(&mut self, process: usize, logged: Logged<'_>, expect: Option<Expect>) {
        let Syscall::Mmap { addr, len, prot, flags, ref fd, .. } = logged.call.call else { return };
        let of_file = !flags.contains(MapFlags::ANONYMOUS);
        let path = fd.as_ref().filter(|_| of_file).map(|fd| {
            let number = format!("descriptor {}", fd.number);
            fd.path.clone().unwrap_or(number)
        });
        let LoggedOutcome::Value(at) = logged.call.outcome else {
            if of_file {
                return self.remark(&format!("line {}: {}", logged.line, logged.call.text));
            }
            let call = Call::Mmap { addr, len, prot, flags, fd: -1, offset: 0 };
            return self.line(process, call, expect, path);
        };
        let kept = flags & (MapFlags::FIXED | MapFlags::NORESERVE | MapFlags::STACK);
        let sharing = if flags.bits() & MapFlags::TYPE == MapFlags::PRIVATE.bits() {
            MapFlags::PRIVATE
        } else {
            MapFlags::SHARED
        };
        self.line(process, anonymous(at, len, prot, sharing | kept), expect, path);
    }

    fn brk(&mut self, process: usize, logged: Logged<'_>, addr: u64) {
        let LoggedOutcome::Value(now) = logged.call.outcome else { return };
        let before = self.heaps.insert(process, now).unwrap_or(now);
        let (from, to) = (before.next_multiple_of(4096), now.next_multiple_of(4096));
        if addr != 0 && to > from {
            let call = anonymous(from, to - from, RW, MapFlags::PRIVATE);
            self.line(process, call, Some(Expect::Value(from)), Some("the heap grows".to_owned()));
        } else if addr != 0 && to < from {
            let call = Call::Munmap { addr: to, len: from - to };
            self.line(process, call, Some(Expect::Value(0)), Some("the heap shrinks".to_owned()));
        }
    }
}

const RW: Prot = Prot::READ.union(Prot::WRITE);

fn anonymous(addr: u64, len: u64, prot: Prot, flags: MapFlags) -> Call {
    let flags = flags | MapFlags::ANONYMOUS;
    Call::Mmap { addr, len, prot, flags, fd: -1, offset: 0 }
}
