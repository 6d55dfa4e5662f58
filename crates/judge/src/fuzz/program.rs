//! Random programs: scenarios made of bytes, the same for the same bytes.
//!
//! `fuzz`, the tests with proptest and the fuzz target draw from here. A new call is a new arm of [`Writer::call`].

use arbitrary::{Result, Unstructured};
use ptelab_machine::{
    Access, Advice, Call, Level, MapFlags, MclFlags, MlockFlags, MremapFlags, MsFlags, PageCategories,
    PkeyRights, PmScanFlags, Prot, Shape, Switch, ThpKey, ThpMode, UffdFeatures,
};
use ptelab_scenario::Line;

/// Where programs work. Private or shared memory starts here.
pub const BASE: u64 = 0x4000_0000;
/// Where memory is moved to, as far from a table's beginning as [`BASE`].
pub const ELSEWHERE: u64 = 0x5000_0000;
/// How large programs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pages that they work on, at either place.
    pub pages: u64,
    /// Calls that they make, at most, after they have set up.
    pub calls: usize,
    /// Processes that they make, at most.
    pub processes: u32,
    /// Bytes in a page.
    pub(super) page: u64,
    /// Pages that are most often mapped together: a contiguous block, where there are such.
    pub(super) block: u64,
    /// Pages in a huge page.
    pub(super) huge: u64,
}

/// 4K pages, in blocks of 64K and huge pages of 2M.
const USUAL: Size = Size { pages: 0, calls: 0, processes: 0, page: 4 << 10, block: 16, huge: 512 };

impl Size {
    /// Some contiguous blocks: thousands of cases a second.
    pub const SMALL: Self = Self { pages: 64, calls: 10, processes: 3, ..USUAL };
    /// Several tables, with huge pages.
    pub const LARGE: Self = Self { pages: 4096, calls: 24, processes: 4, ..USUAL };

    /// The same for pages and tables of another shape. Memory that moves has to fit between the two places.
    #[must_use]
    pub fn on(self, shape: &Shape) -> Self {
        let page = shape.entry_size(Level::Pte);
        let block = (shape.cont_ptes as u64).max(USUAL.block);
        let pages = self.pages / USUAL.block * block;
        let room = (ELSEWHERE - BASE) / 2 / page;
        Self { page, block, huge: shape.pages_per_entry(Level::Pmd), pages: pages.min(room), ..self }
    }

    /// Bytes in a page.
    #[cfg(all(feature = "real", target_os = "linux"))]
    pub(crate) const fn page(self) -> u64 {
        self.page
    }

    /// How large a case is: one of 16 small ones has huge pages, where these are not too large.
    pub(crate) const fn of_case(self, case: u64) -> Self {
        let fits = self.pages < self.huge && self.huge * self.page <= (ELSEWHERE - BASE) / 2;
        if fits && case % 16 == 15 { Self { pages: self.huge, calls: 8, processes: 2, ..self } } else { self }
    }

    /// Bytes that are looked at, at either place: memory may be moved off by some pages.
    pub(crate) const fn span(self) -> u64 {
        (self.pages + 2 * self.block) * self.page
    }

    /// Bytes that [`program`] draws from, so that no program is cut short.
    pub const fn bytes(self) -> usize {
        64 + 40 * self.calls
    }
}

pub(super) const READ: Prot = Prot::READ;
const WRITE: Prot = Prot::WRITE;
pub(super) const RW: Prot = READ.union(WRITE);
const RX: Prot = READ.union(Prot::EXEC);

/// Advice that is given.
const ADVICE: [Advice; 15] = [
    Advice::DONTNEED,
    Advice::FREE,
    Advice::DONTFORK,
    Advice::DOFORK,
    Advice::HUGEPAGE,
    Advice::NOHUGEPAGE,
    Advice::WIPEONFORK,
    Advice::KEEPONFORK,
    Advice::COLD,
    Advice::PAGEOUT,
    Advice::POPULATE_READ,
    Advice::POPULATE_WRITE,
    Advice::COLLAPSE,
    Advice::GUARD_INSTALL,
    Advice::GUARD_REMOVE,
];

/// Advice that VMAs remember, or that brings in what is in swap.
const OF_VMAS: [Advice; 7] = [
    Advice::NORMAL,
    Advice::RANDOM,
    Advice::SEQUENTIAL,
    Advice::WILLNEED,
    Advice::DONTDUMP,
    Advice::DODUMP,
    Advice::REMOVE,
];

/// What mappings are asked for beside.
const OF_MMAP: [MapFlags; 6] = [
    MapFlags::FIXED.union(MapFlags::POPULATE),
    MapFlags::FIXED.union(MapFlags::LOCKED),
    MapFlags::FIXED.union(MapFlags::NORESERVE),
    MapFlags::FIXED.union(MapFlags::POPULATE).union(MapFlags::NONBLOCK),
    MapFlags::FIXED.union(MapFlags::STACK),
    MapFlags::FIXED_NOREPLACE,
];

/// A tag in an address, which arm64 ignores; elsewhere the address is beyond all memory.
const TAG: u64 = 0x5a << 56;

/// What a program has beside mappings, protections and forks: programs that do everything meet little of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theme {
    /// Nothing.
    Plain,
    /// Pages leave memory: swap, and what `MADV_FREE` gave up.
    Reclaim,
    /// Pages move, go to devices, fail, and folios are split.
    Moving,
    /// Write protection by userfaultfd, and scans of it.
    Userfaultfd,
    /// All of it.
    All,
    /// Memory is resized, locked, sealed, given keys and advice that only its VMA remembers.
    Locking,
}

impl Theme {
    /// Those of which the model knows every call.
    const MODELLED: [Self; 8] = [
        Self::Plain,
        Self::Plain,
        Self::Plain,
        Self::Reclaim,
        Self::Moving,
        Self::Userfaultfd,
        Self::Userfaultfd,
        Self::All,
    ];

    /// One of so many programs of all calls is of calls that the model does not know.
    const LOCKING: u8 = 4;
}

/// The program that these bytes say, of calls that the model knows. Every line of it can be written as a scenario and read again.
///
/// # Errors
/// Never for want of bytes: where they end, the smallest choices are made.
pub fn program(bytes: &[u8], size: Size) -> Result<Vec<Line>> {
    let mut u = Unstructured::new(bytes);
    let theme = *u.choose(&Theme::MODELLED)?;
    written(Writer::new(u, size, theme))
}

/// The same, of all calls.
pub(super) fn program_of_all_calls(bytes: &[u8], size: Size) -> Result<Vec<Line>> {
    let mut u = Unstructured::new(bytes);
    let theme = if u.ratio(1, Theme::LOCKING)? { Theme::Locking } else { *u.choose(&Theme::MODELLED)? };
    written(Writer::new(u, size, theme))
}

fn written(mut writer: Writer<'_>) -> Result<Vec<Line>> {
    writer.set_up()?;
    let calls = writer.u.int_in_range(1..=writer.size.calls)?;
    for _ in 0..calls {
        writer.call()?;
    }
    Ok(writer.lines)
}

/// A program that is being written.
pub(super) struct Writer<'a> {
    pub(super) u: Unstructured<'a>,
    pub(super) size: Size,
    pub(super) theme: Theme,
    pub(super) lines: Vec<Line>,
    alive: Vec<u32>,
    /// Processes that were made.
    made: u32,
    /// Where most calls work: memory that was moved takes them along.
    pub(super) here: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(u: Unstructured<'a>, size: Size, theme: Theme) -> Self {
        Self { u, size, theme, lines: Vec::new(), alive: vec![1], made: 1, here: BASE }
    }
}

impl Writer<'_> {
    pub(super) fn push(&mut self, pid: u32, call: Call) {
        let line = u32::try_from(self.lines.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.lines.push(Line { pid: (pid > 1).then_some(pid), line, ..Line::new(call) });
    }

    fn one_in(&mut self, n: u8) -> Result<bool> {
        self.u.ratio(1, n)
    }

    /// Memory, some of it in large folios.
    fn set_up(&mut self) -> Result<()> {
        let kind = if self.one_in(8)? { MapFlags::SHARED } else { MapFlags::PRIVATE };
        let len = self.size.pages * self.size.page;
        let (prot, flags, fd, offset) = (RW, kind | MapFlags::ANONYMOUS, -1, 0);
        self.push(1, Call::Mmap { addr: BASE, len, prot, flags, fd, offset });
        if self.one_in(8)? {
            self.push(1, Call::Numa { nodes: 2 });
            self.push(1, Call::NumaAlloc { node: 1 });
        }
        if self.theme != Theme::Plain {
            self.push(1, Call::Swapon { size: 1024 * self.size.page });
        }
        if matches!(self.theme, Theme::Userfaultfd | Theme::All) && self.one_in(2)? {
            self.uffd(1, (BASE, len))?;
        }
        for _ in 0..self.u.int_in_range(1..=3)? {
            self.write(1)?;
        }
        Ok(())
    }

    /// Writes to memory with one size of folios allowed.
    fn write(&mut self, pid: u32) -> Result<()> {
        let Size { page, block, huge: huge_page, pages, .. } = self.size;
        let huge = pages >= huge_page && self.one_in(2)?;
        let sizes = [block, block, block / 4, block / 2, 2 * block, 2 * block, 4 * block, 1];
        let folio = if huge { huge_page } else { *self.u.choose(&sizes)? };
        let (kb, thp) = (folio * page / 1024, folio > 1);
        if thp {
            self.push(pid, Call::Thp { size: ThpKey::Kb(kb), mode: ThpMode::Always });
        }
        let (addr, len) = if huge { (self.here, self.size.page) } else { self.range()? };
        let byte = self.u.int_in_range(0..=9)?;
        let (addr, len) = if self.one_in(6)? { (addr + 100, len - 200) } else { (addr, len) };
        self.push(pid, Call::Memset { addr, byte, len });
        if thp {
            self.push(pid, Call::Thp { size: ThpKey::Kb(kb), mode: ThpMode::Never });
        }
        Ok(())
    }

    /// Whole pages of the memory, with ends near boundaries as often as not.
    fn range(&mut self) -> Result<(u64, u64)> {
        let Size { page, block, huge, pages, .. } = self.size;
        let step = *self.u.choose(&[1, block, block, block / 2, huge])?;
        let at = self.u.int_in_range(0..=pages - 1)? / step * step;
        let left = pages - at;
        let len = match self.u.int_in_range(0..=5u8)? {
            0 => 1,
            1 => self.u.int_in_range(1..=20)?,
            2 => self.u.int_in_range(1..=pages)?,
            3 => block,
            4 => self.u.int_in_range(1..=4)? * block,
            _ => pages,
        };
        Ok((self.here + at * page, len.min(left) * page))
    }

    pub(super) fn pid(&mut self) -> Result<u32> {
        self.u.choose(&self.alive).copied()
    }

    /// Shared memory, or more often private.
    fn kind(&mut self) -> Result<MapFlags> {
        Ok(if self.one_in(3)? { MapFlags::SHARED } else { MapFlags::PRIVATE })
    }

    fn prot(&mut self) -> Result<Prot> {
        self.u.choose(&[READ, READ, RW, RW, Prot::empty(), RX]).copied()
    }

    /// One call, or a few that belong together.
    fn call(&mut self) -> Result<()> {
        if self.theme != Theme::Plain && self.one_in(3)? {
            return self.special();
        }
        let pid = self.pid()?;
        let (addr, len) = self.range()?;
        match self.u.int_in_range(0..=31u8)? {
            0..=3 => self.write(pid)?,
            4..=6 => {
                let access = *self.u.choose(&[Access::Read, Access::Write])?;
                self.push(pid, Call::Touch { addr, len, access });
            }
            7..=10 => {
                let advice = *self.u.choose(&ADVICE)?;
                self.push(pid, Call::Madvise { addr, len, advice });
            }
            11 => self.odd(pid, (addr, len))?,
            12 => self.write_after_free(pid, (addr, len))?,
            13 => self.tracked_write(pid, (addr, len))?,
            _ => self.change(pid, (addr, len))?,
        }
        Ok(())
    }

    /// One page is written after soft-dirty was cleared, and its neighbours' protection changes with its own.
    fn tracked_write(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        self.push(pid, Call::ClearRefs { what: 4 });
        let page = addr + self.u.int_in_range(0..=len / self.size.page - 1)? * self.size.page;
        self.push(pid, Call::Touch { addr: page, len: self.size.page, access: Access::Write });
        self.push(pid, Call::Mprotect { addr, len, prot: READ });
        self.push(pid, Call::Mprotect { addr, len, prot: RW });
        Ok(())
    }

    /// Calls that make no access: they may run while pages migrate.
    fn change(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        match self.u.int_in_range(0..=19u8)? {
            0..=4 => {
                let prot = self.prot()?;
                self.push(pid, Call::Mprotect { addr, len, prot });
            }
            5..=8 => {
                self.push(pid, Call::Mprotect { addr, len, prot: READ });
                let (addr, len) = if self.one_in(2)? { (addr, len) } else { self.range()? };
                self.push(pid, Call::Mprotect { addr, len, prot: RW });
            }
            9..=10 => self.fork(pid, None)?,
            11..=12 => self.fork(pid, Some((addr, len)))?,
            13 => self.push(pid, Call::Munmap { addr, len }),
            14 => {
                let (prot, flags) = (RW, self.kind()? | MapFlags::ANONYMOUS | MapFlags::FIXED);
                self.push(pid, Call::Mmap { addr, len, prot, flags, fd: -1, offset: 0 });
            }
            15..=16 => self.mremap(pid, (addr, len))?,
            17 => {
                let what = *self.u.choose(&[4, 4, 1])?;
                self.push(pid, Call::ClearRefs { what });
            }
            18 => self.push(pid, Call::NumaScan { addr, len }),
            _ => self.exit(pid),
        }
        Ok(())
    }

    /// A call of the program's theme.
    fn special(&mut self) -> Result<()> {
        let pid = self.pid()?;
        let range = self.range()?;
        let theme = match self.theme {
            Theme::All => *self.u.choose(&[Theme::Reclaim, Theme::Moving, Theme::Userfaultfd])?,
            theme => theme,
        };
        match theme {
            Theme::Plain | Theme::All => self.change(pid, range),
            Theme::Reclaim => self.reclaim(pid, range),
            Theme::Moving => self.moving(pid, range),
            Theme::Userfaultfd => self.userfaultfd(pid, range),
            Theme::Locking => self.locking(pid, range),
        }
    }

    fn reclaim(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        if self.one_in(2)? {
            return self.pageout(pid, (addr, len));
        }
        if self.one_in(2)? {
            self.fork_and_exit(pid);
        }
        self.write_after_free(pid, (addr, len))?;
        self.push(pid, Call::Reclaim { addr, len });
        Ok(())
    }

    /// Takes pages to swap, and as often as not some of them back.
    fn pageout(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        self.push(pid, Call::Madvise { addr, len, advice: Advice::PAGEOUT });
        if self.one_in(2)? {
            self.read_some(pid)?;
        }
        Ok(())
    }

    fn read_some(&mut self, pid: u32) -> Result<()> {
        let (addr, len) = self.range()?;
        self.push(pid, Call::Touch { addr, len, access: Access::Read });
        Ok(())
    }

    /// Makes pages clean, and most often one of them dirty.
    fn write_after_free(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        self.push(pid, Call::Madvise { addr, len, advice: Advice::FREE });
        if !self.one_in(3)? {
            let page = addr + self.u.int_in_range(0..=len / self.size.page - 1)? * self.size.page;
            self.push(pid, Call::Touch { addr: page, len: self.size.page, access: Access::Write });
        }
        Ok(())
    }

    fn moving(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        match self.u.int_in_range(0..=8u8)? {
            0..=3 => self.migrate(pid, (addr, len))?,
            4..=5 => self.push(pid, Call::DevicePrivate { addr, len }),
            6 => {
                self.push(pid, Call::DeviceExclusive { addr });
                let range = self.range()?;
                self.change(pid, range)?;
                self.push(pid, Call::Touch { addr, len: self.size.page, access: Access::Read });
            }
            7 => {
                let order = *self.u.choose(&[0, 0, 2, 3])?;
                self.push(pid, Call::SplitFolio { addr, order });
            }
            _ => self.push(pid, Call::Hwpoison { addr }),
        }
        Ok(())
    }

    /// Pages are on their way while protections and mappings change, and then they arrive.
    fn migrate(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        self.push(pid, Call::MigrateBegin { addr, len });
        for _ in 0..self.u.int_in_range(1..=2)? {
            let (pid, range) = (self.pid()?, self.range()?);
            self.change(pid, range)?;
        }
        for pid in self.alive.clone() {
            for addr in [BASE, ELSEWHERE] {
                self.push(pid, Call::MigrateEnd { addr, len: self.size.span() });
            }
        }
        Ok(())
    }

    fn userfaultfd(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        match self.u.int_in_range(0..=9u8)? {
            0..=1 => self.uffd(pid, (addr, len))?,
            2..=4 => self.push(pid, Call::UffdWp { addr, len, how: Switch::On }),
            5 => self.push(pid, Call::UffdWp { addr, len, how: Switch::Off }),
            6 => self.push(pid, Call::UffdUnregister { addr, len }),
            7 => self.push(pid, Call::UffdPoison { addr, len: self.size.page }),
            8 => self.pageout(pid, (addr, len))?,
            _ => {
                let flags = *self.u.choose(&[PmScanFlags::empty(), PmScanFlags::WP_MATCHING])?;
                let written = PageCategories::WRITTEN;
                let (mask, returned, max_pages) = (written, written, 0);
                self.push(pid, Call::PagemapScan { addr, len, flags, mask, returned, max_pages });
            }
        }
        Ok(())
    }

    /// What is remembered of memory, and where it is locked brings it in.
    fn locking(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        let call = match self.u.int_in_range(0..=19u8)? {
            0..=3 => Call::Mlock { addr, len },
            4..=5 => Call::Mlock2 { addr, len, flags: MlockFlags::ONFAULT },
            6..=7 => Call::Munlock { addr, len },
            8 => {
                let flags = [MclFlags::CURRENT, MclFlags::FUTURE, MclFlags::CURRENT | MclFlags::ONFAULT];
                Call::Mlockall { flags: *self.u.choose(&flags)? }
            }
            9 => Call::Munlockall {},
            10 => {
                let flags = *self.u.choose(&[MsFlags::SYNC, MsFlags::ASYNC, MsFlags::INVALIDATE])?;
                Call::Msync { addr, len, flags }
            }
            11 => {
                self.push(pid, Call::PkeyAlloc { flags: 0, rights: PkeyRights::empty() });
                let (prot, pkey) = (self.prot()?, self.u.int_in_range(-1..=2)?);
                Call::PkeyMprotect { addr, len, prot, pkey }
            }
            12 => Call::Mseal { addr, len: self.size.page, flags: 0 },
            13 => Call::SoftOffline { addr },
            14..=15 => {
                let advice = *self.u.choose(&OF_VMAS)?;
                Call::Madvise { addr, len, advice }
            }
            16..=17 => return self.resize(pid, (addr, len)),
            _ => {
                let more = *self.u.choose(&OF_MMAP)?;
                let flags = self.kind()? | MapFlags::ANONYMOUS | more;
                Call::Mmap { addr, len, prot: self.prot()?, flags, fd: -1, offset: 0 }
            }
        };
        let call = if self.one_in(5)? { self.at_the_edge(&call)? } else { call };
        self.push(pid, call);
        Ok(())
    }

    /// The same call on a range that is hardly one. None of them reaches over what the player of the program has for itself.
    fn at_the_edge(&mut self, call: &Call) -> Result<Call> {
        let Some((addr, len)) = call.range() else { return Ok(call.clone()) };
        Ok(call.with_range(match self.u.int_in_range(0..=6u8)? {
            0..=1 => (addr | TAG, len),
            2 => (addr + 1, len),
            3 => (addr, 0),
            4 => (addr, len - 1),
            5 => (addr, u64::MAX - len),
            _ => (0_u64.wrapping_sub(2 * self.size.page), len),
        }))
    }

    /// Memory shrinks, grows where there is room behind it, moves and does either, or is mapped twice.
    fn resize(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        let page = self.size.page;
        let new_len = match self.u.int_in_range(0..=3u8)? {
            0 => len / page / 2 * page,
            1 => len + page,
            2 => len + self.size.block * page,
            _ => self.u.int_in_range(1..=len / page)? * page,
        };
        let old_len = if self.one_in(6)? { 0 } else { len };
        let moves = self.one_in(2)?;
        let flags = if moves { MremapFlags::MAYMOVE | MremapFlags::FIXED } else { MremapFlags::empty() };
        let new_addr = if moves { addr - self.here + BASE + ELSEWHERE - self.here } else { 0 };
        self.push(pid, Call::Mremap { old_addr: addr, old_len, new_len, flags, new_addr });
        Ok(())
    }

    /// Registers memory. Pages that are not there are protected too, so that whether one is needs not be known.
    pub(super) fn uffd(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        let mode = *self.u.choose(&[UffdFeatures::WP_UNPOPULATED, UffdFeatures::WP_ASYNC])?;
        let events = UffdFeatures::EVENT_FORK | UffdFeatures::EVENT_REMAP;
        let events = *self.u.choose(&[UffdFeatures::empty(), events])?;
        let features = UffdFeatures::WP | mode | events;
        self.push(pid, Call::Uffd { addr, len, features });
        self.push(pid, Call::UffdWp { addr, len, how: Switch::On });
        Ok(())
    }

    /// A fork; of which a part of memory is left out, if told so.
    pub(super) fn fork(&mut self, pid: u32, without: Option<(u64, u64)>) -> Result<()> {
        if self.made >= self.size.processes {
            return self.write(pid);
        }
        if let Some((addr, len)) = without {
            self.push(pid, Call::Madvise { addr, len, advice: Advice::DONTFORK });
        }
        self.push(pid, Call::Fork {});
        self.made += 1;
        self.alive.push(self.made);
        if let Some((addr, len)) = without {
            self.push(pid, Call::Madvise { addr, len, advice: Advice::DOFORK });
            // All of it moves while parts of folios are shared.
            if self.one_in(4)? {
                let all = (self.here, self.size.pages * self.size.page);
                self.mremap(pid, all)?;
            }
        }
        Ok(())
    }

    /// A child that is gone at once: pages are read-only and not exclusive, though nobody else has them.
    pub(super) fn fork_and_exit(&mut self, pid: u32) {
        if self.made < self.size.processes {
            self.push(pid, Call::Fork {});
            self.made += 1;
            self.push(self.made, Call::ExitGroup { status: 0 });
        }
    }

    fn exit(&mut self, pid: u32) {
        if self.alive.len() > 1 {
            self.alive.retain(|&other| other != pid);
            self.push(pid, Call::ExitGroup { status: 0 });
        }
    }

    /// Moves memory to the other place, at the same offset or off by some pages, and may be back.
    pub(super) fn mremap(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        let skew = *self.u.choose(&[0, 0, 1, self.size.block])? * self.size.page;
        let mut flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
        if self.one_in(6)? {
            flags |= MremapFlags::DONTUNMAP;
        }
        let there = BASE + ELSEWHERE - self.here;
        let new_addr = addr - self.here + there + skew;
        self.push(pid, Call::Mremap { old_addr: addr, old_len: len, new_len: len, flags, new_addr });
        match self.u.int_in_range(0..=3u8)? {
            0..=1 => {
                let (flags, back) = (MremapFlags::MAYMOVE | MremapFlags::FIXED, addr);
                self.push(
                    pid,
                    Call::Mremap { old_addr: new_addr, old_len: len, new_len: len, flags, new_addr: back },
                );
            }
            2 => self.here = there,
            _ => {}
        }
        Ok(())
    }

    /// A call with arguments that are refused, or do nothing.
    fn odd(&mut self, pid: u32, (addr, len): (u64, u64)) -> Result<()> {
        let call = match self.u.int_in_range(0..=5u8)? {
            0 => Call::Mprotect { addr: addr + 5, len, prot: READ },
            1 => Call::Mprotect { addr, len: 0, prot: READ },
            2 => Call::Mprotect { addr, len: len - 5, prot: READ },
            3 => Call::Mprotect { addr, len: len + self.size.pages * self.size.page, prot: READ },
            4 => Call::Madvise { addr, len, advice: Advice::from_raw(77) },
            _ => Call::Munmap { addr: addr + 1, len },
        };
        self.push(pid, call);
        Ok(())
    }
}
