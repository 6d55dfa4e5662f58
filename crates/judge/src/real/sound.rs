//! What is true of the tables of every sound kernel, whatever its release: so a bug that two kernels have is found too.

use super::recording::RealDump;
use super::walk::TableWord;
use crate::fuzz::{Check, Violation};
use crate::golden::GoldenVma;
use ptelab_machine::pgtable::Mapping;
use ptelab_machine::{Backend, Level, Prot, Pte, PteAttrs, PteView};
use ptelab_real::RealPage;

/// A VMA of a dump.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) prot: Prot,
    pub(super) is_private: bool,
    /// Whether userfaultfd may write-protect its entries.
    pub(super) is_registered: bool,
}

/// An entry of a dump.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) word: TableWord,
    pub(super) view: PteView,
    /// What /proc says of its first page.
    pub(super) page: RealPage,
}

/// The tables and VMAs of a dump, read.
#[derive(Debug)]
pub(super) struct Tables<'a> {
    pub(super) dump: &'a RealDump,
    port: &'a dyn Backend,
    pub(super) areas: Vec<Area>,
    pub(super) entries: Vec<Entry>,
}

impl Area {
    fn new(vma: &GoldenVma) -> Self {
        let edge = |hex: &str| u64::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap_or(0);
        Self {
            start: edge(&vma.start),
            end: edge(&vma.end),
            prot: Prot::of_perms(&vma.perms),
            is_private: vma.perms.ends_with('p'),
            is_registered: vma.vmflags.split(' ').any(|flag| flag == "uw"),
        }
    }
}

impl Entry {
    pub(super) const fn mapping(&self) -> Option<&Mapping> {
        match &self.view {
            PteView::Present(mapping) => Some(mapping),
            _ => None,
        }
    }

    pub(super) fn has(&self, attrs: PteAttrs) -> bool {
        self.mapping().is_some_and(|mapping| mapping.attrs.contains(attrs))
    }

    /// Whether it maps a page that counts who maps it: the zero page does not.
    pub(super) fn is_counted(&self) -> bool {
        self.mapping().is_some() && !self.has(PteAttrs::SPECIAL)
    }
}

impl<'a> Tables<'a> {
    pub(super) fn new(dump: &'a RealDump, port: &'a dyn Backend) -> Self {
        let size = port.about().shape.page_size();
        let entry = |&word: &TableWord| {
            let at = word.addr.max(dump.start) - dump.start;
            let page = dump.pages.get((at / size) as usize).copied().unwrap_or_default();
            Entry { word, view: port.words().decode(Pte(word.word), word.level), page }
        };
        let entries = dump.words.iter().flatten().map(entry).collect();
        Self { dump, port, areas: dump.vmas.iter().map(Area::new).collect(), entries }
    }

    /// The entry that stands for an address.
    pub(super) fn entry(&self, addr: u64) -> Option<&Entry> {
        let past = self.entries.partition_point(|entry| entry.word.addr <= addr);
        self.entries[..past].last()
    }

    pub(super) fn is_mapped(&self, addr: u64) -> bool {
        self.area(addr).is_some()
    }

    fn area(&self, addr: u64) -> Option<&Area> {
        self.areas.iter().find(|area| (area.start..area.end).contains(&addr))
    }

    /// A law that an entry breaks, with all that is known of it.
    pub(super) fn broken(&self, check: Check, entry: &Entry, what: &str) -> Violation {
        let TableWord { addr, level, word } = entry.word;
        let names = if word == 0 {
            "empty".to_owned()
        } else {
            format!("{word:#x} {}", self.port.words().describe(Pte(word), level))
        };
        let page = entry.page.frame.map_or_else(String::new, |frame| {
            let at = frame.pfn - frame.head;
            format!(", page {at} of a folio of {}, mapped {}", frame.folio_pages, frame.mapcount)
        });
        Violation::new(check, format!("entry {addr:#x} of process {}, {names}{page}: {what}", self.dump.pid))
    }

    /// The first entry that cannot be right.
    pub(super) fn wrong(&self) -> Option<Violation> {
        let wrong = |(n, entry): (usize, &Entry)| {
            let (check, what) = self.wrong_entry(n, entry)?;
            Some(self.broken(check, entry, what))
        };
        self.entries.iter().enumerate().find_map(wrong)
    }

    fn wrong_entry(&self, n: usize, entry: &Entry) -> Option<(Check, &'static str)> {
        entry.mapping()?;
        let Some(area) = self.area(entry.word.addr.max(self.dump.start)) else {
            return Some((Check::Outside, "no VMA there"));
        };
        let writable = entry.has(PteAttrs::WRITE);
        if writable && !area.prot.contains(Prot::WRITE) {
            return Some((Check::Vma, "its VMA is not writable"));
        }
        if area.prot.is_empty() && entry.has(PteAttrs::USER) && !entry.has(PteAttrs::PROTNONE) {
            return Some((Check::Vma, "its VMA allows no access"));
        }
        if writable && area.is_private && entry.page.frame.is_some_and(|frame| frame.mapcount > 1) {
            return Some((Check::Writable, "writable, and others map the page too"));
        }
        if entry.has(PteAttrs::UFFD) && !area.is_registered {
            return Some((Check::Protected, "userfaultfd protects it, and not its VMA"));
        }
        if entry.has(PteAttrs::UFFD | PteAttrs::WRITE) {
            return Some((Check::Protected, "write-protected by userfaultfd, and writable"));
        }
        let in_block = entry.has(PteAttrs::CONT) && !entry.has(PteAttrs::PROTNONE);
        (in_block && !self.is_whole(n)).then_some((Check::Blocks, "not one of a whole block of one folio"))
    }

    /// Whether the block of a page's entry, as far as the dump has it, maps consecutive pages of one folio, alike but for accessed and
    /// dirty, and begins where blocks do. An entry that allows no access need not be one of a whole block.
    fn is_whole(&self, n: usize) -> bool {
        let entry = &self.entries[n];
        let shape = self.port.about().shape;
        let (block, size) = (shape.cont_ptes as u64, shape.page_size());
        if entry.word.level != Level::Pte || block < 2 {
            return true;
        }
        let attrs =
            |entry: &Entry| entry.mapping().map(|mapping| mapping.attrs - PteAttrs::YOUNG - PteAttrs::DIRTY);
        let pfn = |entry: &Entry| entry.mapping().map(|mapping| mapping.pfn.get());
        let head = |entry: &Entry| entry.page.frame.map(|frame| frame.head);
        let first = entry.word.addr / size % block;
        let begins = pfn(entry).is_some_and(|pfn| pfn % block == first);
        let next = self.entries.get(n + 1).filter(|next| next.word.addr == entry.word.addr + size);
        let follows = next.is_none_or(|next| {
            let pages = pfn(next) == pfn(entry).map(|pfn| pfn + 1) && head(next) == head(entry);
            first + 1 == block || attrs(next) == attrs(entry) && pages
        });
        begins && follows
    }
}
