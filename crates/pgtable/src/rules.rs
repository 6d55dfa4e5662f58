//! What a kernel version decides, as data.

/// How many entries `change_pte_range` changes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MprotectUnit {
    /// One entry; the page struct is looked up only where a write upgrade or NUMA asks for it.
    Entry,
    /// A batch of one large folio's entries; the page struct of every present entry is looked up.
    Batch,
}

/// From where a batch reads its `AnonExclusive` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExclusiveFrom {
    /// The batch's own first page.
    BatchStart,
    /// The folio's head page, even where the batch starts further on: the bug of 6.17-rc1 (mended by cf1b80dc31a1).
    FolioHead,
}

/// The decisions in which supported kernels differ. Everything else is the same in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a row of a table: each stands for a change between two kernels"
)]
pub struct KernelRules {
    /// Name as on the command line: `6.16`.
    pub name: &'static str,
    /// `mm/mprotect.c:change_pte_range`.
    pub mprotect: MprotectUnit,
    /// `mm/mprotect.c:commit_anon_folio_batch`.
    pub exclusive_from: ExclusiveFrom,
    /// `mm/mremap.c:move_ptes` moves contiguous blocks whole.
    pub mremap_batches: bool,
    /// `FIXED` moves with equal lengths may span several VMAs (`mm/mremap.c`).
    pub mremap_many_vmas: bool,
    /// Splitting a folio maps its zero-filled pages to the zero page; the entry stays soft-dirty (`mm/migrate.c`,
    /// `try_to_map_unused_to_zeropage`; 6.16.12 loses it, 6.17.13 and 7.3.4 keep it).
    pub split_zeropage_keeps_soft_dirty: bool,
    /// `MADV_COLLAPSE` of a range inside one huge page's worth of addresses is `EINVAL`, not nothing to do
    /// (`mm/khugepaged.c`, `madvise_collapse`; asked of 6.16.12, 6.17.13 and 7.3.4).
    pub collapse_inside_block_fails: bool,
    /// mremap to a fixed place empties that place before it looks at what would be moved (`mm/mremap.c`, `mremap_to`).
    pub mremap_unmaps_before_checks: bool,
    /// NUMA hinting passes over huge leaves as over page entries: those of shared copy-on-write folios and those that are on
    /// the CPU's node already (`mm/huge_memory.c`, `change_huge_pmd`; 6.17.13 takes them).
    pub numa_skips_huge_leaves: bool,
    /// `MREMAP_DONTUNMAP` takes `VM_ACCOUNT` from the VMA it leaves behind (`mm/mremap.c`; asked of 6.16.12, mended in 6.17).
    pub dontunmap_unaccounts: bool,
    /// arm64 `pte_mkwrite` of a clean entry clears RDONLY, so hardware sees it dirty.
    pub mkwrite_dirties_clean: bool,
    /// arm64 `contpte_set_ptes` sets CONT on entries that are not valid too.
    pub cont_on_invalid: bool,
    /// arm64 `contpte_ptep_get` stops as soon as it found both a dirty and a young entry.
    pub contpte_get_stops_early: bool,
    /// arm64 has `pte_needs_flush` and `huge_pmd_needs_flush`; before, every change of protection was flushed.
    pub needs_flush_arm64: bool,
    /// arm64 flushes this CPU only where a fault gave an entry more permission.
    pub fault_flush_local: bool,
    /// x86 `pmd_modify` keeps the hardware's Dirty bit.
    pub pmd_modify_keeps_dirty: bool,
    /// The huge zero page is mapped with the special bit.
    pub huge_zero_special: bool,
    /// `MADV_DONTNEED` frees emptied tables wherever tables may be freed under walkers, not only where the architecture
    /// asked for it (`mm/Kconfig`, `PT_RECLAIM`).
    pub pt_reclaim_wherever_safe: bool,
    /// Merging ORs the sticky flags of all VMAs into the result (`VM_STICKY`); before, the flags were those that the call gave
    /// its range, or at mmap those of the VMA that grew.
    pub sticky_vma_flags: bool,
    /// Guard regions mark their VMA (`VM_MAYBE_GUARD`).
    pub guard_vma_flag: bool,
    /// Swap goes to clusters of slots that were never used before it fills up those in use (`mm/swapfile.c`,
    /// `cluster_alloc_swap_entry`; asked of 6.16.12, 6.17.13 and 7.3.4).
    pub swap_prefers_fresh_clusters: bool,
    /// The last entry's page of a disk in memory is read past the swap cache, so it is exclusive (`mm/memory.c`, `do_swap_page`).
    pub swapin_bypasses_cache: bool,
    /// `PR_SET_THP_DISABLE` knows `PR_THP_DISABLE_EXCEPT_ADVISED` (`kernel/sys.c`; new in 6.18).
    pub thp_disable_except_advised: bool,
    /// `PAGEMAP_SCAN` calls pages written only where userfaultfd could protect them, and there what is empty too; before,
    /// all that is not protected, but what is empty only in a scan for nothing else (`fs/proc/task_mmu.c`,
    /// `pagemap_page_category`; asked of 6.16.12, 6.17.13 and 7.3.4).
    pub scan_written_needs_uffd_wp: bool,
    /// Reclaim of a lazyfree folio that was written to splits its huge leaf; before, the leaf stayed (`mm/rmap.c`,
    /// `try_to_unmap_one`; asked of 6.16.12, 6.17.13 and 7.3.4).
    pub reclaim_splits_written_huge: bool,
    /// Reclaim of a lazyfree folio goes through its entries in runs with the same write permission and soft-dirty, up to
    /// the first that was written; before, it put all back with the first one's (`mm/rmap.c`, `folio_unmap_pte_batch`; asked of
    /// 6.16.12, 6.17.13 and 7.3.4; mended by 29f40594a281).
    pub reclaim_respects_write: bool,
    /// A folio that waits to be split waits on after its migration; before, it was forgotten (`mm/migrate.c`,
    /// `migrate_folio_move`; asked of 6.16.12, 6.17.13 and 7.3.4).
    pub migration_requeues_split: bool,
    /// mremap ends write protection by a userfaultfd that does not follow (`mm/mremap.c`; 0cef0bb836e3, in all kernels here).
    pub mremap_drops_uffd_wp: bool,
    /// `PAGEMAP_SCAN` knows `PAGE_IS_ACCESSED`, which nothing here has.
    pub scan_knows_accessed: bool,
}

impl KernelRules {
    /// Linux 6.16: one entry at a time.
    pub const V6_16: Self = Self {
        name: "6.16",
        mprotect: MprotectUnit::Entry,
        exclusive_from: ExclusiveFrom::BatchStart,
        mremap_batches: false,
        mremap_many_vmas: false,
        mremap_unmaps_before_checks: true,
        numa_skips_huge_leaves: false,
        dontunmap_unaccounts: true,
        split_zeropage_keeps_soft_dirty: false,
        collapse_inside_block_fails: true,
        mkwrite_dirties_clean: true,
        cont_on_invalid: true,
        contpte_get_stops_early: false,
        needs_flush_arm64: false,
        fault_flush_local: false,
        pmd_modify_keeps_dirty: false,
        huge_zero_special: false,
        pt_reclaim_wherever_safe: false,
        sticky_vma_flags: false,
        guard_vma_flag: false,
        swap_prefers_fresh_clusters: true,
        swapin_bypasses_cache: true,
        thp_disable_except_advised: false,
        scan_written_needs_uffd_wp: false,
        reclaim_splits_written_huge: false,
        reclaim_respects_write: false,
        migration_requeues_split: false,
        mremap_drops_uffd_wp: true,
        scan_knows_accessed: false,
    };

    /// Linux 6.17-rc1: the series as first merged, with its copy-on-write bug.
    ///
    /// The mend of arm64's `pte_mkwrite` came later, so rc1 has 6.16's; no rc1 kernel was run.
    pub const V6_17_RC1: Self = Self {
        name: "6.17-rc1",
        exclusive_from: ExclusiveFrom::FolioHead,
        mkwrite_dirties_clean: true,
        ..Self::V6_17
    };

    /// Linux 6.17 (as 6.17.13).
    pub const V6_17: Self = Self {
        name: "6.17",
        mprotect: MprotectUnit::Batch,
        exclusive_from: ExclusiveFrom::BatchStart,
        mremap_batches: true,
        mremap_many_vmas: true,
        mremap_unmaps_before_checks: false,
        numa_skips_huge_leaves: false,
        dontunmap_unaccounts: false,
        split_zeropage_keeps_soft_dirty: true,
        collapse_inside_block_fails: true,
        mkwrite_dirties_clean: false,
        cont_on_invalid: true,
        contpte_get_stops_early: true,
        needs_flush_arm64: false,
        fault_flush_local: false,
        pmd_modify_keeps_dirty: false,
        huge_zero_special: false,
        pt_reclaim_wherever_safe: false,
        sticky_vma_flags: false,
        guard_vma_flag: false,
        swap_prefers_fresh_clusters: true,
        swapin_bypasses_cache: true,
        thp_disable_except_advised: false,
        scan_written_needs_uffd_wp: false,
        reclaim_splits_written_huge: false,
        reclaim_respects_write: false,
        migration_requeues_split: false,
        mremap_drops_uffd_wp: true,
        scan_knows_accessed: false,
    };

    /// Linux 7.3 (as 7.3.4).
    pub const V7_3: Self = Self {
        name: "7.3",
        numa_skips_huge_leaves: true,
        collapse_inside_block_fails: false,
        cont_on_invalid: false,
        needs_flush_arm64: true,
        fault_flush_local: true,
        pmd_modify_keeps_dirty: true,
        huge_zero_special: true,
        pt_reclaim_wherever_safe: true,
        sticky_vma_flags: true,
        guard_vma_flag: true,
        swap_prefers_fresh_clusters: false,
        swapin_bypasses_cache: false,
        thp_disable_except_advised: true,
        scan_written_needs_uffd_wp: true,
        reclaim_splits_written_huge: true,
        reclaim_respects_write: true,
        migration_requeues_split: true,
        scan_knows_accessed: true,
        ..Self::V6_17
    };

    /// Every named kernel, oldest first.
    pub const ALL: [&'static Self; 4] = [&Self::V6_16, &Self::V6_17_RC1, &Self::V6_17, &Self::V7_3];

    /// The kernel a machine runs unless told otherwise.
    pub const DEFAULT: &'static Self = &Self::V7_3;

    /// The kernel of this name, or the one whose stable release it is: `6.16`, `6.16.12`.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|rules| rules.name == name).or_else(|| {
            let (series, patch) = name.rsplit_once('.')?;
            patch.parse::<u32>().ok()?;
            Self::ALL.into_iter().find(|rules| rules.name == series)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_releases_find_their_series() {
        assert_eq!(KernelRules::by_name("6.16.12"), Some(&KernelRules::V6_16));
        assert_eq!(KernelRules::by_name("6.17-rc1"), Some(&KernelRules::V6_17_RC1));
        assert_eq!(KernelRules::by_name("7.3"), Some(&KernelRules::V7_3));
        assert_eq!(KernelRules::by_name("6.17-rc1.2"), Some(&KernelRules::V6_17_RC1));
        assert_eq!(KernelRules::by_name("7"), None);
        assert_eq!(KernelRules::by_name("6.15.1"), None);
    }
}
