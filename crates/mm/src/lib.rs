//! Linux memory management over emulated page tables: VMAs, folios, faults, and the calls.
//!
//! Everything here is generic over the architecture port ([`Arch`]) and the machine ([`TableMemory`]) and knows no port by
//! name. A [`Kernel`] is one machine with its frames and settings; an [`Mm`] is one address space on it. Files are named
//! as Linux names them: `change_pte_range` is in `mprotect.rs`, `copy_pte_range` in `fork.rs`, and so on.

mod access;
mod adopt;
mod anon_name;
mod bitmap;
mod brk;
mod buddy;
mod cause;
mod changes;
mod content;
mod device;
mod do_fault;
mod errno;
mod fault;
mod filemap;
mod fork;
mod gather;
mod huge_memory;
mod madvise;
mod maps;
mod memory_failure;
mod migrate;
mod migration;
mod mincore;
mod mlock;
mod mmap;
mod mprotect;
mod mremap;
mod msync;
mod numa;
mod pagemap_scan;
mod pages;
mod pkeys;
mod prctl;
mod process_madvise;
mod repeat;
mod rmap;
mod settings;
mod shm;
mod shmem;
mod softleaf;
mod split;
mod stack;
mod swap_in;
mod swapfile;
mod task_mmu;
mod userfaultfd;
mod vma;
mod vmscan;
mod walk;
mod zap;

pub use adopt::{Adopted, AdoptedAs, Sharing};
pub use cause::ALL as CAUSES;
pub use changes::{MREMAP_KEEPS_UFFD_WP, Rules};
pub use errno::FaultError;
pub use filemap::FileId;
pub use maps::Backing;
pub use migration::Destination;
pub use pagemap_scan::{PageRegion, PmScan, Scanned};
pub use pages::{MapLevel, MmId, Pages, TABLE_PFN, ZERO_PFN};
pub use settings::{Config, ThpSettings};
pub use shm::ShmId;
pub use split::Split;
pub use task_mmu::{LeafEntry, PageFacts, Pagemap, VmaFacts};
pub use userfaultfd::Userfaultfd;
pub use vma::{AnonVmaId, ObjectId, Vma, VmaTree};
pub use walk::Table;

use ptelab_pgtable::{Arch, Cause, KernelRules, Ptep, TableMemory, VirtAddr, VmFlags};
use ptelab_uapi::{Errno, SigInfo};

/// One emulated machine with its kernel: port, primitives, frames, settings.
#[derive(Clone, Debug)]
pub struct Kernel<A, H> {
    /// The architecture port.
    pub arch: A,
    /// The machine's primitives.
    pub hw: H,
    /// Which kernel it is.
    pub version: &'static KernelRules,
    /// What that decides.
    rules: Rules,
    /// Frames and folios.
    pub pages: Pages,
    /// Transparent huge page settings.
    pub thp: ThpSettings,
    /// Number of NUMA nodes.
    pub nodes: u8,
    /// Node that new pages go to (`MPOL_BIND`), or the CPU's own.
    pub alloc_node: Option<u8>,
    /// The last signal that an access got.
    pub last_signal: Option<SigInfo>,
    config: Config,
    anon_vmas: rmap::AnonVmas,
    objects: shmem::Objects,
    files: filemap::Files,
    segments: shm::Segments,
    swap: swapfile::Swap,
    migrations: migration::Migrations,
    next_mm: MmId,
    /// Pages promised to accountable mappings.
    committed: u64,
}

/// Node of the one CPU.
const CPU_NODE: u8 = 0;

/// One address space.
#[derive(Clone, Debug)]
pub struct Mm {
    /// The name by which page structs know it.
    pub id: MmId,
    /// Its VMAs.
    pub vmas: VmaTree,
    /// Root table.
    pub pgd: Ptep,
    /// Tables below the root.
    tables: u64,
    /// Where the heap begins and ends.
    brk: brk::Brk,
    /// An address in the first stack, if it has one.
    start_stack: VirtAddr,
    /// Flags that every new VMA gets (`def_flags`).
    def_flags: VmFlags,
    /// What `PR_SET_THP_DISABLE` said.
    thp_disable: prctl::ThpDisable,
    pkeys: pkeys::Pkeys,
}

impl<A: Arch, H: TableMemory> Kernel<A, H> {
    /// A machine that just booted: all frames free, all settings at their start.
    pub fn new(arch: A, version: &'static KernelRules, config: Config) -> Self {
        let mut hw = H::with_tables_of(A::PTRS_PER_TABLE);
        let frames = config.memory >> A::PAGE_SHIFT;
        let pages = Pages::new(&mut hw, frames, A::PAGE_SIZE, A::PMD_ORDER);
        Self {
            arch,
            hw,
            version,
            rules: Rules::of(version),
            pages,
            thp: ThpSettings::at_boot(A::PMD_ORDER),
            nodes: 1,
            alloc_node: None,
            last_signal: None,
            config,
            anon_vmas: rmap::AnonVmas::default(),
            objects: shmem::Objects::default(),
            files: filemap::Files::default(),
            segments: shm::Segments::default(),
            swap: swapfile::Swap::default(),
            migrations: migration::Migrations::new(),
            next_mm: 1,
            committed: 0,
        }
    }

    /// A new, empty address space.
    ///
    /// # Errors
    /// `ENOMEM` where no frame is left for its first table.
    pub fn new_mm(&mut self) -> Result<Mm, Errno> {
        self.pages.charge_table()?;
        let pgd = self.hw.alloc_table();
        let id = self.next_mm;
        self.next_mm += 1;
        Ok(Mm {
            id,
            vmas: VmaTree::default(),
            pgd,
            tables: 0,
            brk: brk::Brk::default(),
            start_stack: VirtAddr::new(0),
            def_flags: VmFlags::empty(),
            thp_disable: prctl::ThpDisable::No,
            pkeys: pkeys::Pkeys::default(),
        })
    }

    /// Does something for a cause, which holds for the entries that are written on the way, and what is flushed.
    #[inline]
    pub(crate) fn because<T>(&mut self, cause: &'static Cause, does: impl FnOnce(&mut Self) -> T) -> T {
        self.hw.begin_cause(cause);
        let done = does(self);
        self.hw.end_cause();
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
