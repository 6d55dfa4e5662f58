//! Linux memory management over emulated page tables: VMAs, folios, faults, and the calls.
//!
//! Everything here is generic over the architecture port ([`Arch`](ptelab_pgtable::Arch)) and the machine
//! ([`TableMemory`](ptelab_pgtable::TableMemory)) and knows no port by name. It lies in layers, and nothing points up:
//!
//! * [`Pages`]: frames, folios and their page structs; [`VmaTree`]: the mappings of an address space ([`Mm`]);
//! * [`PageTables`]: the port, walks, splits, what entries say;
//! * anon_vmas, [`Swap`], objects whose pages outlive a mapping;
//! * [`Kernel`]: all of that, with settings;
//! * calls and faults: functions over it, in files named as Linux's: `change_pte_range` is in `mprotect.rs`,
//!   `copy_pte_range` and `zap_pte_range`, as most of `mm/memory.c`, under `memory/`.

mod absent;
mod access;
mod address_space;
mod adopt;
mod anon_name;
mod bitmap;
mod brk;
mod buddy;
mod cause;
mod changes;
mod content;
mod device;
mod errno;
mod filemap;
mod folio;
mod fork;
mod gup;
mod huge_memory;
mod huge_mm;
mod kernel;
mod khugepaged;
mod madvise;
mod maps;
mod memory;
mod memory_failure;
mod mempolicy;
mod migrate;
mod mincore;
mod misplaced;
mod mlock;
mod mm_inline;
mod mm_types;
mod mmap;
mod mprotect;
mod mremap;
mod mseal;
mod msync;
mod pagemap_scan;
mod pages;
mod pkeys;
mod prctl;
mod process_madvise;
mod rmap;
mod settings;
mod shm;
mod shmem;
mod stack;
mod swapfile;
mod tables;
mod task_mmu;
mod userfaultfd;
mod util;
mod vm_area;
mod vma;
mod vma_tree;
mod vmscan;

pub use absent::Absent;
pub use access::{memset, read_byte, touch};
pub use address_space::ShmId;
pub use adopt::{Adopted, AdoptedAs, Sharing, adopt};
pub use anon_name::set_anon_vma_name;
pub use brk::brk;
pub use cause::ALL as CAUSES;
pub use changes::{MREMAP_KEEPS_UFFD_WP, Rules};
pub use device::{device_folios, make_device_exclusive};
pub use errno::FaultError;
pub use filemap::{open, pwrite};
pub use fork::fork;
pub use gup::fault_in_page;
pub use huge_memory::split::{Split, folio_to_split, split_mapped};
pub use kernel::Kernel;
pub use khugepaged::collapses_shared;
pub use madvise::cold::reclaim;
pub use madvise::madvise;
pub use madvise::remove::{is_migrating, punch_hole, take_holes, unmap_hole};
pub use maps::{Backing, backings, find_file};
pub use memory_failure::{
    fail_in_use, fail_page, kernels_page_error, page_to_fail, unmap_poisoned, zero_page_error,
};
pub use mempolicy::numa_scan;
pub use migrate::{
    Destination, begin_migration, begin_migration_with, end_migration, isolate_folios, migrating_folios,
    migration_target, remove_migration_ptes, try_to_migrate,
};
pub use mincore::mincore;
pub use mlock::{mlock, mlock2, mlockall, munlock, munlockall};
pub use mm_types::Mm;
pub use mmap::{exit_mmap, mmap, mmap_file, munmap};
pub use mprotect::{mprotect, pkey_alloc, pkey_free, pkey_mprotect};
pub use mremap::mremap;
pub use mseal::mseal;
pub use msync::msync;
pub use pagemap_scan::{PageRegion, PmScan, Scanned, pagemap_scan};
pub use pages::{MapLevel, MmId, Pages, TABLES};
pub use prctl::{exec_mm, set_thp_disable};
pub use process_madvise::process_madvise;
pub use settings::{Config, ThpSettings};
pub use shm::{shm_rmid, shmat, shmdt, shmget};
pub use stack::setup_stack;
pub use swapfile::Swap;
pub use tables::PageTables;
pub use tables::pagewalk::{LeafEntry, PageFacts, Pagemap};
pub use tables::walk::Table;
pub use task_mmu::{VmaFacts, clear_refs, smaps};
pub use userfaultfd::{uffd_poison, uffd_register, uffd_unregister, uffd_wp};
pub use vm_area::{AnonVmaId, FileId, ObjectId, Userfaultfd, Vma};
pub use vma_tree::VmaTree;
pub use vmscan::{me_swapcache_clean, unmap_poisoned_swapcache};
