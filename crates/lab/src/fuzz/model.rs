//! What a program may see of its memory, page by page: a model that knows no folios, no batches and no entries.
//!
//! Bytes are kept at four places of each page, both ends among them. Where the model cannot tell what a call comes to, it
//! takes the machine's word and asks only that memory agrees with it afterwards.

use crate::exec::Outcome;
use ptelab_machine::{CallError, Errno, Pid, Signal};
use ptelab_scenario::{Access, Call, Line};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

const PAGE: u64 = 4096;
/// Where in a page bytes are kept.
pub(super) const PLACES: [u64; 4] = [0, 100, 2048, PAGE - 1];

/// The bytes of a page. Shared memory's are the same for all who map it.
#[derive(Clone, Debug)]
enum Bytes {
    Own([u8; 4]),
    Shared(Rc<Cell<[u8; 4]>>),
}

/// One page of an address space.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a page is or is not each of them")]
pub(super) struct Page {
    bytes: Bytes,
    /// `PROT_READ`, `PROT_WRITE`, `PROT_EXEC`.
    pub(super) prot: u64,
    dontfork: bool,
    wipeonfork: bool,
    guard: bool,
    /// Written since it was last made clean: its entry, where there is one, must be dirty.
    pub(super) dirty: bool,
    /// Written since soft-dirty was last cleared.
    pub(super) soft_dirty: bool,
}

impl Page {
    const fn new(prot: u64, bytes: Bytes) -> Self {
        let (dontfork, wipeonfork, guard, dirty, soft_dirty) = (false, false, false, false, false);
        Self { bytes, prot, dontfork, wipeonfork, guard, dirty, soft_dirty }
    }

    pub(super) const fn is_shared(&self) -> bool {
        matches!(self.bytes, Bytes::Shared(_))
    }

    pub(super) fn bytes(&self) -> [u8; 4] {
        match &self.bytes {
            Bytes::Own(bytes) => *bytes,
            Bytes::Shared(bytes) => bytes.get(),
        }
    }

    fn write(&mut self, places: impl Fn(u64) -> bool, byte: u8) {
        let mut bytes = self.bytes();
        for (slot, _) in bytes.iter_mut().zip(PLACES).filter(|(_, place)| places(*place)) {
            *slot = byte;
        }
        match &mut self.bytes {
            Bytes::Own(own) => *own = bytes,
            Bytes::Shared(shared) => shared.set(bytes),
        }
        (self.dirty, self.soft_dirty) = (true, true);
    }

    /// The contents go, as nobody's but this process's.
    fn zap(&mut self) {
        if let Bytes::Own(bytes) = &mut self.bytes {
            *bytes = [0; 4];
        }
        (self.dirty, self.soft_dirty) = (false, false);
    }

    const fn allows(&self, access: Access) -> bool {
        match access {
            Access::Read => self.prot != 0 && !self.guard,
            Access::Write => self.prot & 2 != 0 && !self.guard,
        }
    }
}

/// Pages by page number.
pub(super) type Space = BTreeMap<u64, Page>;

/// All processes.
#[derive(Clone, Debug)]
pub(super) struct Model {
    spaces: BTreeMap<Pid, Space>,
    made: Pid,
}

/// What a call must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// This.
    Is(Outcome),
    /// The model does not say.
    Unknown,
}

const fn errno(errno: Errno) -> Expected {
    Expected::Is(Outcome::Failed(CallError::Errno(errno)))
}

const FINE: Expected = Expected::Is(Outcome::Value(0));
const SEGV: Expected = Expected::Is(Outcome::Failed(CallError::Signal(Signal::Segv)));

impl Model {
    pub(super) fn new() -> Self {
        Self { spaces: BTreeMap::from([(1, Space::new())]), made: 1 }
    }

    pub(super) fn space(&self, pid: Pid) -> Option<&Space> {
        self.spaces.get(&pid)
    }

    /// Makes a call, which on the machine came to `got`; says what it must come to.
    pub(super) fn call(&mut self, line: &Line, got: Outcome) -> Expected {
        let pid = line.pid.unwrap_or(1);
        if !self.spaces.contains_key(&pid) {
            return Expected::Is(Outcome::Failed(CallError::NoProcess(pid)));
        }
        match line.call {
            Call::Fork => return self.fork(pid),
            Call::ExitGroup { .. } => {
                self.spaces.remove(&pid);
                return FINE;
            }
            _ => {}
        }
        let Some(space) = self.spaces.get_mut(&pid) else { return Expected::Unknown };
        match line.call {
            Call::Mmap { addr, len, prot, flags, .. } => mmap(space, (addr, len), prot, flags),
            Call::Munmap { addr, len } => munmap(space, addr, len),
            Call::Mprotect { addr, len, prot } => mprotect(space, addr, len, prot),
            Call::Madvise { addr, len, advice } => madvise(space, (addr, len), advice, got),
            Call::Mremap { old_addr, old_len, new_addr, flags, .. } => {
                mremap(space, (old_addr, old_len), new_addr, flags, got)
            }
            Call::Memset { addr, byte, len } => write(space, addr, len, byte),
            Call::ExplicitBzero { addr, len } => write(space, addr, len, 0),
            Call::Touch { addr, len, access } => touch(space, addr, len, access),
            Call::ClearRefs { what } => {
                if what == 4 {
                    for page in space.values_mut() {
                        page.soft_dirty = false;
                    }
                }
                FINE
            }
            Call::NumaScan { .. } | Call::Numa { .. } | Call::NumaAlloc { .. } => FINE,
            _ => Expected::Unknown,
        }
    }

    fn fork(&mut self, pid: Pid) -> Expected {
        let copy = |(at, page): (&u64, &Page)| {
            let mut page = page.clone();
            if page.wipeonfork {
                page.zap();
                page.guard = false;
            }
            (*at, page)
        };
        let child = self.spaces[&pid].iter().filter(|(_, page)| !page.dontfork).map(copy).collect();
        self.made += 1;
        self.spaces.insert(self.made, child);
        Expected::Is(Outcome::Value(self.made.into()))
    }

    /// Forgets pages that the machine says are not mapped: where a call failed on its way.
    pub(super) fn forget(&mut self, pid: Pid, is_mapped: impl Fn(u64) -> bool) {
        if let Some(space) = self.spaces.get_mut(&pid) {
            space.retain(|&at, _| is_mapped(at * PAGE));
        }
    }
}

fn pages(addr: u64, len: u64) -> std::ops::Range<u64> {
    addr / PAGE..addr.saturating_add(len).div_ceil(PAGE)
}

fn mmap(space: &mut Space, (addr, len): (u64, u64), prot: u64, flags: u64) -> Expected {
    let fixed = flags & 0x10 != 0;
    if !fixed && pages(addr, len).any(|at| space.contains_key(&at)) {
        return errno(Errno::Eexist);
    }
    for at in pages(addr, len) {
        let bytes = match flags & 3 {
            1 => Bytes::Shared(Rc::new(Cell::new([0; 4]))),
            _ => Bytes::Own([0; 4]),
        };
        space.insert(at, Page::new(prot, bytes));
    }
    Expected::Is(Outcome::Value(addr))
}

fn munmap(space: &mut Space, addr: u64, len: u64) -> Expected {
    if !addr.is_multiple_of(PAGE) || len == 0 {
        return errno(Errno::Einval);
    }
    space.retain(|at, _| !pages(addr, len).contains(at));
    FINE
}

fn mprotect(space: &mut Space, addr: u64, len: u64, prot: u64) -> Expected {
    if !addr.is_multiple_of(PAGE) {
        return errno(Errno::Einval);
    }
    for at in pages(addr, len) {
        let Some(page) = space.get_mut(&at) else { return errno(Errno::Enomem) };
        page.prot = prot;
    }
    FINE
}

fn madvise(space: &mut Space, (addr, len): (u64, u64), advice: u64, got: Outcome) -> Expected {
    if advice == 77 || !addr.is_multiple_of(PAGE) {
        return errno(Errno::Einval);
    }
    let hole = pages(addr, len).any(|at| !space.contains_key(&at));
    let is_shared = pages(addr, len).any(|at| space.get(&at).is_some_and(Page::is_shared));
    let mut each = |change: &dyn Fn(&mut Page)| {
        for (_, page) in space.range_mut(pages(addr, len)) {
            change(page);
        }
    };
    match advice {
        4 => each(&|page| if page.is_shared() { page.soft_dirty = false } else { page.zap() }),
        // What is given up is there until memory runs out; what was shared stays dirty.
        8 => each(&|page| page.dirty = false),
        10 => each(&|page| page.dontfork = true),
        11 => each(&|page| page.dontfork = false),
        // Private memory only: where shared memory is met, the call ends there.
        18 if is_shared => return Expected::Unknown,
        18 => each(&|page| page.wipeonfork = true),
        19 => each(&|page| page.wipeonfork = false),
        102 if got == Outcome::Value(0) || hole => each(&|page| {
            page.zap();
            page.guard = true;
        }),
        103 => each(&|page| page.guard = false),
        _ => return Expected::Unknown,
    }
    match advice {
        8 if is_shared => Expected::Unknown,
        _ if hole => errno(Errno::Enomem),
        _ => FINE,
    }
}

fn mremap(space: &mut Space, (from, len): (u64, u64), to: u64, flags: u64, got: Outcome) -> Expected {
    if got != Outcome::Value(to) {
        return Expected::Unknown;
    }
    let by = |at: u64| at - from / PAGE + to / PAGE;
    let moved: Vec<(u64, Page)> =
        space.range(pages(from, len)).map(|(at, page)| (by(*at), page.clone())).collect();
    // Where there was nothing to move, what is mapped at the new place stays: VMA by VMA, each makes room for itself.
    for (_, page) in space.range_mut(pages(from, len)) {
        page.zap();
        page.guard = false;
    }
    // What is left behind is mapped still.
    if flags & 4 == 0 {
        space.retain(|at, _| !pages(from, len).contains(at));
    }
    space.extend(moved);
    Expected::Unknown
}

fn write(space: &mut Space, addr: u64, len: u64, byte: u8) -> Expected {
    for at in pages(addr, len) {
        let Some(page) = space.get_mut(&at).filter(|page| page.allows(Access::Write)) else { return SEGV };
        page.write(|place| (addr..addr + len).contains(&(at * PAGE + place)), byte);
    }
    FINE
}

fn touch(space: &mut Space, addr: u64, len: u64, access: Access) -> Expected {
    for at in pages(addr, len) {
        let Some(page) = space.get_mut(&at).filter(|page| page.allows(access)) else { return SEGV };
        if access == Access::Write {
            page.write(|place| place == addr % PAGE, 1);
        }
    }
    FINE
}
