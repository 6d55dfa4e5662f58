//! What a program may see of its memory, page by page: a model that knows no folios, no batches and no entries.
//!
//! Bytes are kept at four places of each page, both ends among them. Where the model cannot tell the result of a call, it
//! takes the machine's word and asks only that memory agrees with it afterwards.

use crate::PLACES;
use bitflags::bitflags;
use ptelab_machine::mm::Rules;
use ptelab_machine::pgtable::{PteAttrs, PteView, SoftFlags, SoftLeaf, marker, swp_type};
use ptelab_machine::{
    Access, Advice, Call, CallError, Errno, KernelRules, MapFlags, MremapFlags, Outcome, Pid, PmScanFlags,
    Prot, Signal, Switch, UffdFeatures,
};
use ptelab_scenario::Line;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The bytes of a page. Those of shared memory are the same in every process that maps it.
#[derive(Clone, Debug)]
enum Bytes {
    Own([u8; 4]),
    Shared(Rc<Shared>),
}

/// A page of shared memory.
#[derive(Debug, Default)]
struct Shared {
    bytes: Cell<[u8; 4]>,
    /// It failed: it cannot be reached any more by anyone.
    failed: Cell<bool>,
}

bitflags! {
    /// What is so of a page.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct State: u16 {
        /// Children do not get it.
        const DONTFORK = 1 << 0;
        /// Children get it empty.
        const WIPEONFORK = 1 << 1;
        /// A guard: any access is SIGSEGV.
        const GUARD = 1 << 2;
        /// It failed, or was poisoned: any access is SIGBUS.
        const BROKEN = 1 << 3;
        /// Written since it was last made clean: its entry, where it is present, must be dirty.
        const DIRTY = 1 << 4;
        /// Written since soft-dirty was last cleared.
        const SOFT_DIRTY = 1 << 5;
        /// Soft-dirty was cleared while it migrated, or a device had it: it stayed writable, and writes go unnoticed.
        const UNNOTICED = 1 << 6;
        /// Given up by `MADV_FREE` and not written since: it may be gone.
        const FREED = 1 << 7;
        /// Write-protected by userfaultfd.
        const PROTECTED = 1 << 8;
        /// A scan protected its writable migration or device entry: when the page comes back, writable wins
        /// (`remove_migration_pte`), and it may be protected or not.
        const SLIPPING = 1 << 9;
    }
}

impl State {
    /// What goes with the contents.
    const OF_CONTENTS: Self = Self::GUARD
        .union(Self::BROKEN)
        .union(Self::DIRTY)
        .union(Self::SOFT_DIRTY)
        .union(Self::UNNOTICED)
        .union(Self::FREED)
        .union(Self::PROTECTED)
        .union(Self::SLIPPING);
}

/// One page of an address space.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    bytes: Bytes,
    /// `PROT_READ`, `PROT_WRITE`, `PROT_EXEC`.
    pub(crate) prot: Prot,
    /// The userfaultfd that it is registered with.
    pub(crate) uffd: Option<UffdFeatures>,
    state: State,
}

impl Page {
    const fn new(prot: Prot, bytes: Bytes) -> Self {
        Self { bytes, prot, uffd: None, state: State::empty() }
    }

    pub(crate) const fn is(&self, state: State) -> bool {
        self.state.contains(state)
    }

    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self.bytes, Bytes::Shared(_))
    }

    /// Whether it failed, for this process or for all who share it.
    pub(crate) fn has_failed(&self) -> bool {
        self.is(State::BROKEN) || matches!(&self.bytes, Bytes::Shared(shared) if shared.failed.get())
    }

    pub(crate) fn bytes(&self) -> [u8; 4] {
        match &self.bytes {
            Bytes::Own(bytes) => *bytes,
            Bytes::Shared(shared) => shared.bytes.get(),
        }
    }

    fn write(&mut self, places: impl Fn(u64) -> bool, byte: u8) {
        let mut bytes = self.bytes();
        for (slot, _) in bytes.iter_mut().zip(PLACES).filter(|(_, place)| places(*place)) {
            *slot = byte;
        }
        match &mut self.bytes {
            Bytes::Own(own) => *own = bytes,
            Bytes::Shared(shared) => shared.bytes.set(bytes),
        }
        self.state |= State::DIRTY;
        self.state -= State::FREED;
        self.state.set(State::SOFT_DIRTY, !self.is(State::UNNOTICED));
    }

    /// The contents go, as nobody's but this process's.
    fn zap(&mut self) {
        if let Bytes::Own(bytes) = &mut self.bytes {
            *bytes = [0; 4];
        }
        self.state -= State::OF_CONTENTS;
    }

    /// It fails for this process, and where it is shared for all.
    fn fail(&mut self) {
        self.zap();
        match &self.bytes {
            Bytes::Own(_) => self.state |= State::BROKEN,
            Bytes::Shared(shared) => shared.failed.set(true),
        }
    }

    fn is_async(&self) -> bool {
        self.uffd.is_some_and(|features| features.contains(UffdFeatures::WP_ASYNC))
    }

    /// Makes an access, or says what it ends in.
    fn access(&mut self, access: Access) -> Result<(), Signal> {
        let needed =
            if access == Access::Write { Prot::WRITE } else { Prot::READ | Prot::WRITE | Prot::EXEC };
        if !self.prot.intersects(needed) || self.is(State::GUARD) {
            return Err(Signal::SEGV);
        }
        if self.has_failed() {
            return Err(Signal::BUS);
        }
        if access == Access::Write && self.is(State::PROTECTED) {
            if !self.is_async() {
                return Err(Signal::BUS);
            }
            self.protect(false);
        }
        Ok(())
    }

    fn protect(&mut self, on: bool) {
        self.state.set(State::PROTECTED, on);
        self.state -= State::SLIPPING;
    }

    /// Leaves the hands of a userfaultfd that does not follow.
    fn left_by(&mut self, follows: UffdFeatures) {
        if self.uffd.is_some_and(|features| !features.contains(follows)) {
            self.uffd = None;
            self.protect(false);
        }
    }

    /// Takes the machine's word for whether it is protected.
    fn believe_protected(&mut self, word: &PteView) {
        self.protect(self.uffd.is_some() && says_protected(word));
    }
}

/// Whether an entry says that its page is write-protected by userfaultfd.
pub(crate) fn says_protected(word: &PteView) -> bool {
    match word {
        PteView::Present(m) => m.attrs.contains(PteAttrs::UFFD),
        PteView::Soft(leaf) => leaf.flags.contains(SoftFlags::UFFD) || leaf.is_marker(marker::UFFD_WP),
        _ => false,
    }
}

/// The pages of an address space by page number, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space {
    all: Vec<(u64, Page)>,
    /// Bytes in a page.
    page: u64,
}

impl Space {
    /// The pages that a range touches.
    fn pages(&self, addr: u64, len: u64) -> std::ops::Range<u64> {
        addr / self.page..addr.saturating_add(len).div_ceil(self.page)
    }

    fn find(&self, at: u64) -> std::result::Result<usize, usize> {
        self.all.binary_search_by_key(&at, |(at, _)| *at)
    }

    pub(crate) fn has(&self, at: u64) -> bool {
        self.find(at).is_ok()
    }

    fn get_mut(&mut self, at: u64) -> Option<&mut Page> {
        self.find(at).ok().map(|i| &mut self.all[i].1)
    }

    fn range_of(&mut self, addr: u64, len: u64) -> &mut [(u64, Page)] {
        self.range_mut(self.pages(addr, len))
    }

    fn range_mut(&mut self, pages: std::ops::Range<u64>) -> &mut [(u64, Page)] {
        let [from, to] = [pages.start, pages.end].map(|at| self.all.partition_point(|(page, _)| *page < at));
        &mut self.all[from..to]
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (u64, Page)> {
        self.all.iter()
    }

    /// Adds pages, in place of those that were there.
    fn extend(&mut self, pages: impl IntoIterator<Item = (u64, Page)>) {
        self.all.extend(pages);
        self.all.sort_by_key(|(at, _)| *at);
        self.all.dedup_by(|new, old| {
            let same = new.0 == old.0;
            if same {
                std::mem::swap(new, old);
            }
            same
        });
    }
}

/// The machine's word: what a process has for a page after the call.
pub(crate) type Word<'a> = &'a dyn Fn(Pid, u64) -> PteView;

/// All processes.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    spaces: BTreeMap<Pid, Space>,
    made: Pid,
    /// Whether the kernel knows guard regions.
    guards: bool,
}

/// The result that a call must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// This.
    Is(Outcome),
    /// This signal.
    Signal(Signal),
    /// The model does not say.
    Unknown,
}

const fn errno(errno: Errno) -> Expected {
    Expected::Is(Outcome::Failed(CallError::Errno(errno)))
}

const FINE: Expected = Expected::Is(DONE);
const DONE: Outcome = Outcome::Value(0);

impl Model {
    /// One process with nothing, in pages of so many bytes, under a kernel of these rules.
    pub(crate) fn new(page: u64, rules: &KernelRules) -> Self {
        let guards = rules.has(Rules::guard_regions);
        Self { spaces: BTreeMap::from([(1, Space { all: Vec::new(), page })]), made: 1, guards }
    }

    pub(crate) fn space(&self, pid: Pid) -> Option<&Space> {
        self.spaces.get(&pid)
    }

    /// Makes a call, whose result on the machine was `got`; returns the result that it must have.
    pub(crate) fn call(&mut self, line: &Line, got: Outcome, word: Word<'_>) -> Expected {
        let pid = line.pid.unwrap_or(1);
        if !self.spaces.contains_key(&pid) {
            return Expected::Is(Outcome::Failed(CallError::NoProcess(pid)));
        }
        match line.call {
            Call::Fork {} => self.fork(pid, word),
            Call::ExitGroup { .. } => {
                self.spaces.remove(&pid);
                FINE
            }
            Call::Madvise { advice: Advice::GUARD_INSTALL | Advice::GUARD_REMOVE, .. } if !self.guards => {
                errno(Errno::EINVAL)
            }
            Call::Hwpoison { addr } => {
                self.fail(pid, addr, got, word);
                Expected::Unknown
            }
            _ => {
                let space = self.spaces.get_mut(&pid).expect("it was just seen");
                call_of_one(space, &line.call, got, &|at| word(pid, at))
            }
        }
    }

    fn fork(&mut self, pid: Pid, word: Word<'_>) -> Expected {
        self.made += 1;
        let made = self.made;
        let copy = |&(at, ref page): &(u64, Page)| {
            let mut page = page.clone();
            if page.is(State::WIPEONFORK) {
                page.zap();
            }
            page.left_by(UffdFeatures::EVENT_FORK);
            // Entries of shared memory are copied only where the child could not fill them by faults.
            if page.is_shared() && page.is(State::BROKEN) {
                page.state.set(State::BROKEN, matches!(word(made, at), PteView::Soft(_)));
            }
            (at, page)
        };
        let parent = self.spaces[&pid].iter();
        let child = parent.filter(|(_, page)| !page.is(State::DONTFORK)).map(copy).collect();
        self.spaces.insert(made, Space { all: child, page: self.spaces[&pid].page });
        Expected::Is(Outcome::Value(made.into()))
    }

    /// A page fails in every process that maps it; which those are, the machine says. The zero page stays, though there is a signal
    /// where it failed before; so does what is in swap as well, and is read from there again.
    fn fail(&mut self, pid: Pid, addr: u64, got: Outcome, word: Word<'_>) {
        let is_there = |space: &Space| match word(pid, addr / space.page) {
            PteView::Present(_) => true,
            PteView::Soft(leaf) => leaf.is_swap(),
            PteView::None | PteView::Table(_) => false,
        };
        if self.spaces.get(&pid).is_some_and(is_there)
            || !matches!(got, DONE | Outcome::Failed(CallError::Signal(_)))
        {
            return;
        }
        for (&of, space) in &mut self.spaces {
            for &mut (at, ref mut page) in &mut space.all {
                let failed = matches!(word(of, at), PteView::Soft(leaf) if leaf.ty == swp_type::HWPOISON);
                if failed || (of, at) == (pid, addr / space.page) {
                    page.fail();
                }
            }
        }
    }

    /// The entry of a page that a device has forgot soft-dirty: so it does where it is shared or protected.
    pub(super) fn soft_dirty_is_forgotten(&mut self, pid: Pid, addr: u64) {
        if let Some(page) = self.spaces.get_mut(&pid).and_then(|space| space.get_mut(addr / space.page)) {
            page.state -= State::SOFT_DIRTY;
        }
    }

    /// Takes the machine's word for whether a page is write-protected.
    pub(crate) fn protected_is_believed(&mut self, pid: Pid, addr: u64, word: &PteView) {
        if let Some(page) = self.spaces.get_mut(&pid).and_then(|space| space.get_mut(addr / space.page)) {
            page.believe_protected(word);
        }
    }

    /// An mremap may have failed on its way. What the machine says is not mapped any more, from the range's beginning on, has moved, VMA by
    /// VMA; and room may have been made for what has not. With `MREMAP_DONTUNMAP` all is mapped still: what is mapped now where
    /// nothing was has moved.
    pub(crate) fn moved_in_part(
        &mut self,
        pid: Pid,
        call: &Call,
        got: Outcome,
        is_mapped: impl Fn(u64) -> bool,
    ) {
        let (&Call::Mremap { old_addr: from, old_len: len, new_addr: to, flags, .. }, Outcome::Failed(_)) =
            (call, got)
        else {
            return;
        };
        let Some(space) = self.spaces.get_mut(&pid) else { return };
        let size = space.page;
        let pages: Vec<u64> = space.range_of(from, len).iter().map(|(at, _)| *at).collect();
        let stays = pages.into_iter().find(|at| {
            if flags.contains(MremapFlags::DONTUNMAP) {
                let new = at * size - from + to;
                !is_mapped(new) || space.find(new / size).is_ok()
            } else {
                is_mapped(at * size)
            }
        });
        let moved = stays.map_or(len, |at| at * size - from);
        mremap(space, (from, moved), to, flags, Outcome::Value(to));
        space.all.retain(|(at, _)| is_mapped(at * size));
    }
}

/// Whether the model knows what a call does. Of the others, kernels and the emulator are held against each other only.
pub fn is_modelled(call: &Call) -> bool {
    let usual = MapFlags::SHARED | MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED;
    match *call {
        Call::Mmap { flags, .. } => return usual.contains(flags),
        Call::Mremap { old_len, new_len, .. } => return old_len == new_len,
        _ => {}
    }
    !matches!(
        call,
        Call::Mlock { .. }
            | Call::Mlock2 { .. }
            | Call::Mlockall { .. }
            | Call::Mseal { .. }
            | Call::PkeyAlloc { .. }
            | Call::PkeyMprotect { .. }
            | Call::Madvise { advice: Advice::REMOVE, .. }
    )
}

/// The machine's word of one process's pages.
type WordOf<'a> = &'a dyn Fn(u64) -> PteView;

/// A call that concerns one process only.
fn call_of_one(space: &mut Space, call: &Call, got: Outcome, word: WordOf<'_>) -> Expected {
    match *call {
        Call::Mmap { addr, len, prot, flags, .. } => mmap(space, (addr, len), prot, flags),
        Call::Munmap { addr, len } => munmap(space, addr, len),
        Call::Mprotect { addr, len, prot } => mprotect(space, addr, len, prot),
        Call::Madvise { addr, len, advice } => madvise(space, (addr, len), advice, got, word),
        Call::Mremap { old_addr, old_len, new_addr, flags, .. } => {
            mremap(space, (old_addr, old_len), new_addr, flags, got)
        }
        Call::Memset { addr, byte, len } => write(space, addr, len, byte),
        Call::ExplicitBzero { addr, len } => write(space, addr, len, 0),
        Call::Touch { addr, len, access } => touch(space, addr, len, access),
        Call::ClearRefs { what: 4 } => {
            clear_soft_dirty(space, word);
            FINE
        }
        Call::Reclaim { addr, len } => {
            swapped_out(space, (addr, len), word);
            Expected::Unknown
        }
        Call::Uffd { addr, len, features } if got == DONE => {
            each(space, (addr, len), |_, page| page.uffd = Some(features));
            Expected::Unknown
        }
        Call::UffdUnregister { addr, len } if got == DONE => {
            each(space, (addr, len), |_, page| {
                page.uffd = None;
                page.protect(false);
            });
            Expected::Unknown
        }
        Call::UffdWp { addr, len, how } => uffd_wp(space, (addr, len), how),
        Call::UffdPoison { addr, len } if got == DONE => {
            each(space, (addr, len), |_, page| page.state |= State::BROKEN);
            Expected::Unknown
        }
        Call::PagemapScan { addr, len, flags, .. } => {
            if flags.contains(PmScanFlags::WP_MATCHING) {
                scan_protects(space, (addr, len), word);
            }
            Expected::Unknown
        }
        // Both write, or would: asynchronous protection goes.
        Call::DeviceExclusive { addr } => {
            each(space, (addr, 1), |at, page| lifted(page, &word(at)));
            Expected::Unknown
        }
        Call::ClearRefs { .. }
        | Call::NumaScan { .. }
        | Call::Numa { .. }
        | Call::Page { .. }
        | Call::NumaAlloc { .. }
        | Call::Swapon { .. } => FINE,
        // What these come to, the machine says; or no program makes them.
        Call::Thp { .. }
        | Call::Uffd { .. }
        | Call::UffdUnregister { .. }
        | Call::UffdPoison { .. }
        | Call::MigrateBegin { .. }
        | Call::MigrateEnd { .. }
        | Call::DevicePrivate { .. }
        | Call::SplitFolio { .. }
        | Call::SoftOffline { .. }
        | Call::Hwpoison { .. }
        | Call::Check { .. }
        | Call::Dump { .. }
        | Call::Time { .. }
        | Call::Fork {}
        | Call::ExitGroup { .. }
        | Call::Brk { .. }
        | Call::Mlock { .. }
        | Call::Mlock2 { .. }
        | Call::Munlock { .. }
        | Call::Mlockall { .. }
        | Call::Munlockall {}
        | Call::Msync { .. }
        | Call::Mincore { .. }
        | Call::ProcessMadvise { .. }
        | Call::PkeyAlloc { .. }
        | Call::PkeyFree { .. }
        | Call::PkeyMprotect { .. }
        | Call::Mseal { .. }
        | Call::SetVmaAnonName { .. }
        | Call::SetThpDisable { .. }
        | Call::GetThpDisable {}
        | Call::Shmget { .. }
        | Call::Shmat { .. }
        | Call::Shmdt { .. }
        | Call::ShmRmid { .. }
        | Call::CloneVm {}
        | Call::Execve {}
        | Call::Open { .. }
        | Call::Pwrite { .. }
        | Call::Adopt { .. }
        | Call::SetBrk { .. }
        | Call::SetupStack { .. } => Expected::Unknown,
    }
}

fn each(space: &mut Space, (addr, len): (u64, u64), mut change: impl FnMut(u64, &mut Page)) {
    for (at, page) in space.range_of(addr, len) {
        change(*at, page);
    }
}

fn mmap(space: &mut Space, (addr, len): (u64, u64), prot: Prot, flags: MapFlags) -> Expected {
    let fixed = flags.contains(MapFlags::FIXED);
    if !fixed && space.pages(addr, len).any(|at| space.has(at)) {
        return errno(Errno::EEXIST);
    }
    let bytes = || match flags.bits() & MapFlags::TYPE {
        1 => Bytes::Shared(Rc::default()),
        _ => Bytes::Own([0; 4]),
    };
    space.extend(space.pages(addr, len).map(|at| (at, Page::new(prot, bytes()))));
    Expected::Is(Outcome::Value(addr))
}

fn munmap(space: &mut Space, addr: u64, len: u64) -> Expected {
    if !addr.is_multiple_of(space.page) || len == 0 {
        return errno(Errno::EINVAL);
    }
    let gone = space.pages(addr, len);
    space.all.retain(|(at, _)| !gone.contains(at));
    FINE
}

fn mprotect(space: &mut Space, addr: u64, len: u64, prot: Prot) -> Expected {
    if !addr.is_multiple_of(space.page) {
        return errno(Errno::EINVAL);
    }
    for at in space.pages(addr, len) {
        let Some(page) = space.get_mut(at) else { return errno(Errno::ENOMEM) };
        page.prot = prot;
    }
    FINE
}

fn madvise(
    space: &mut Space,
    (addr, len): (u64, u64),
    advice: Advice,
    got: Outcome,
    word: WordOf<'_>,
) -> Expected {
    if !advice.is_known() || !addr.is_multiple_of(space.page) {
        return errno(Errno::EINVAL);
    }
    let range = (addr, len);
    let hole = space.pages(addr, len).any(|at| !space.has(at));
    let is_shared = space.range_of(addr, len).iter().any(|(_, page)| page.is_shared());
    match advice {
        Advice::DONTNEED => each(space, range, |at, page| dontneed(page, &word(at))),
        Advice::FREE => {
            // What is given up is there until memory runs out, unless it is in swap; what was shared stays dirty.
            each(space, range, |_, page| {
                page.state -= State::DIRTY;
                page.state.set(State::FREED, !page.is_shared());
            });
            discarded(space, range, word);
        }
        Advice::DONTFORK => each(space, range, |_, page| page.state |= State::DONTFORK),
        Advice::DOFORK => each(space, range, |_, page| page.state -= State::DONTFORK),
        // Private memory only: where shared memory is met, the call ends there.
        Advice::WIPEONFORK => {
            let all = space.range_of(addr, len).iter_mut().take_while(|(_, page)| !page.is_shared());
            all.for_each(|(_, page)| page.state |= State::WIPEONFORK);
        }
        Advice::KEEPONFORK => each(space, range, |_, page| page.state -= State::WIPEONFORK),
        Advice::PAGEOUT => {
            swapped_out(space, range, word);
            return Expected::Unknown;
        }
        Advice::POPULATE_WRITE => {
            each(space, range, |at, page| lifted(page, &word(at)));
            return Expected::Unknown;
        }
        Advice::GUARD_INSTALL if got == DONE || hole => each(space, range, |at, page| {
            let guarded = matches!(word(at), PteView::Soft(leaf) if leaf.is_marker(marker::GUARD));
            dontneed(page, &word(at));
            page.state.set(State::GUARD, guarded || !page.is(State::PROTECTED));
        }),
        Advice::GUARD_REMOVE => each(space, range, |_, page| page.state -= State::GUARD),
        _ => return Expected::Unknown,
    }
    match advice {
        Advice::FREE | Advice::WIPEONFORK if is_shared => Expected::Unknown,
        _ if hole => errno(Errno::ENOMEM),
        _ => FINE,
    }
}

/// What comes back from swap may be clean; what was given up may be gone.
fn swapped_out(space: &mut Space, range: (u64, u64), word: WordOf<'_>) {
    let swapped = |word| matches!(word, PteView::Soft(leaf) if SoftLeaf::is_swap(leaf));
    let all = space.all.iter_mut().filter(|(at, _)| swapped(word(*at)));
    all.for_each(|(_, page)| page.state -= State::DIRTY);
    discarded(space, range, word);
}

/// Private contents and their protection go, guards stay; shared memory keeps both.
fn dontneed(page: &mut Page, word: &PteView) {
    let guard = page.state & State::GUARD;
    if page.is_shared() {
        page.state -= State::SOFT_DIRTY | State::BROKEN;
        page.believe_protected(word);
    } else {
        page.zap();
    }
    page.state |= guard;
}

/// What `MADV_FREE` gave up may be gone: the machine says so.
fn discarded(space: &mut Space, range: (u64, u64), word: WordOf<'_>) {
    each(space, range, |at, page| {
        let gone = matches!(word(at), PteView::None | PteView::Table(_));
        if page.is(State::FREED) && gone {
            page.zap();
        }
    });
}

/// A write may have lifted asynchronous protection.
fn lifted(page: &mut Page, word: &PteView) {
    if page.is_async() && page.is(State::PROTECTED) {
        page.believe_protected(word);
    }
}

fn uffd_wp(space: &mut Space, (addr, len): (u64, u64), how: Switch) -> Expected {
    let mut any = false;
    for (_, page) in space.range_of(addr, len) {
        if page.uffd.is_none() {
            return errno(Errno::ENOENT);
        }
        any = true;
        let protects = how == Switch::On && !page.is(State::GUARD) && !page.has_failed();
        page.protect(protects);
    }
    if any { FINE } else { errno(Errno::ENOENT) }
}

/// A scan protects what is there, and what is empty as its kernel says.
fn scan_protects(space: &mut Space, range: (u64, u64), word: WordOf<'_>) {
    each(space, range, |at, page| {
        if page.is_async() && !page.is(State::GUARD) && !page.has_failed() {
            let word = word(at);
            let there = matches!(word, PteView::Present(_) | PteView::Soft(_));
            page.protect(there || says_protected(&word));
            page.state.set(State::SLIPPING, returns_writable(&word));
        }
    });
}

fn clear_soft_dirty(space: &mut Space, word: WordOf<'_>) {
    for &mut (at, ref mut page) in &mut space.all {
        page.state -= State::SOFT_DIRTY;
        page.state.set(State::UNNOTICED, returns_writable(&word(at)));
    }
}

/// Whether a page is away, and will be writable when it comes back.
const fn returns_writable(word: &PteView) -> bool {
    matches!(word, PteView::Soft(leaf) if matches!(leaf.ty, swp_type::MIGRATION_WRITE | swp_type::DEVICE_WRITE))
}

fn mremap(space: &mut Space, (from, len): (u64, u64), to: u64, flags: MremapFlags, got: Outcome) -> Expected {
    if got != Outcome::Value(to) {
        return Expected::Unknown;
    }
    let size = space.page;
    let by = |at: u64| at - from / size + to / size;
    let moved: Vec<(u64, Page)> = space
        .range_of(from, len)
        .iter()
        .map(|(at, page)| {
            let mut page = page.clone();
            page.left_by(UffdFeatures::EVENT_REMAP);
            (by(*at), page)
        })
        .collect();
    // Where there was nothing to move, what is mapped at the new place stays: VMA by VMA, each makes room for itself.
    each(space, (from, len), |_, page| page.zap());
    // What is left behind is mapped still.
    if !flags.contains(MremapFlags::DONTUNMAP) {
        let gone = space.pages(from, len);
        space.all.retain(|(at, _)| !gone.contains(at));
    }
    space.extend(moved);
    Expected::Unknown
}

fn write(space: &mut Space, addr: u64, len: u64, byte: u8) -> Expected {
    let size = space.page;
    for at in space.pages(addr, len) {
        let Some(page) = space.get_mut(at) else { return Expected::Signal(Signal::SEGV) };
        if let Err(end) = page.access(Access::Write) {
            return Expected::Signal(end);
        }
        page.write(|place| (addr..addr + len).contains(&(at * size + place)), byte);
    }
    FINE
}

fn touch(space: &mut Space, addr: u64, len: u64, access: Access) -> Expected {
    let size = space.page;
    for at in space.pages(addr, len) {
        let Some(page) = space.get_mut(at) else { return Expected::Signal(Signal::SEGV) };
        if let Err(end) = page.access(access) {
            return Expected::Signal(end);
        }
        if access == Access::Write {
            page.write(|place| place == addr % size, 1);
        }
    }
    FINE
}
