//! A machine with its kernel: what all calls work on.

use crate::absent::Absent;
use crate::address_space::Objects;
use crate::changes::Rules;
use crate::mm_types::Mm;
use crate::pages::MmId;
use crate::rmap::Rmap;
use crate::settings::{Config, ThpSettings};
use crate::swapfile::Swap;
use crate::tables::PageTables;
use ptelab_pgtable::{Arch, Cause, KernelRules, Level, TableMemory};
use ptelab_uapi::{Errno, SigInfo};

/// One emulated machine with its kernel: page tables, swap, what pages are kept in, settings.
#[derive(Clone, Debug)]
pub struct Kernel<A, H> {
    /// Page tables: the port, the machine's primitives, frames.
    pub pt: PageTables<A, H>,
    /// Swap devices and the swap cache.
    pub swap: Swap,
    pub(crate) rmap: Rmap,
    pub(crate) objects: Objects,
    /// Which kernel it is.
    pub version: &'static KernelRules,
    /// Transparent huge page settings.
    pub thp: ThpSettings,
    /// Number of NUMA nodes.
    pub nodes: u8,
    /// The last signal that an access got.
    pub last_signal: Option<SigInfo>,
    config: Config,
    next_mm: MmId,
    /// Pages promised to accountable mappings.
    pub(crate) committed: u64,
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// A machine that just booted: all frames free, all settings at their start.
    pub fn new(arch: A, version: &'static KernelRules, config: Config) -> Self {
        let mut pt = PageTables::new(arch, Rules::of(version), config.memory);
        pt.frees_tables = !config.absent.contains(Absent::PT_RECLAIM);
        Self {
            pt,
            swap: Swap::default(),
            rmap: Rmap::default(),
            objects: Objects::default(),
            version,
            thp: ThpSettings::at_boot(A::PMD_ORDER),
            nodes: 1,
            last_signal: None,
            config,
            next_mm: 1,
            committed: 0,
        }
    }

    /// The same kernel and address space with no page in use and no table: what calls come to there takes no copy of memory, and
    /// is the same where only mappings decide.
    ///
    /// # Errors
    /// `ENOMEM` where no frame is left for the first table.
    pub fn without_pages(&self, mm: &Mm) -> Result<(Self, Mm), Errno> {
        let hollow = Self::new(self.pt.arch.clone(), self.version, self.config);
        let (rmap, objects) = (self.rmap.clone(), self.objects.without_pages());
        let mut kernel = Self { rmap, objects, thp: self.thp.clone(), committed: self.committed, ..hollow };
        let Mm { id, pgd, tables, .. } = kernel.new_mm()?;
        Ok((kernel, Mm { id, pgd, tables, ..mm.clone() }))
    }

    /// A new, empty address space.
    ///
    /// # Errors
    /// `ENOMEM` where no frame is left for its first table.
    pub fn new_mm(&mut self) -> Result<Mm, Errno> {
        self.mm_alloc(self.pt.arch.root())
    }

    /// A new, empty address space whose tree has a root of this level.
    pub(crate) fn mm_alloc(&mut self, root: Level) -> Result<Mm, Errno> {
        self.pt.pages.charge_table()?;
        let pgd = self.pt.new_table(root);
        let id = self.next_mm;
        self.next_mm += 1;
        Ok(Mm::new(id, pgd, root, self.pt.arch.task_size()))
    }

    /// Does something for a cause, which holds for the entries that are written on the way, and what is flushed.
    #[inline]
    pub(crate) fn because<T>(&mut self, cause: &'static Cause, does: impl FnOnce(&mut Self) -> T) -> T {
        self.pt.hw.begin_cause(cause);
        let done = does(self);
        self.pt.hw.end_cause();
        done
    }

    /// The machine's configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Pages promised to accountable mappings (`Committed_AS`).
    pub const fn committed(&self) -> u64 {
        self.committed
    }
}
