//! The causes that mm applies. Sources are as in 7.3, or where a release in between has another path, as there.

ptelab_pgtable::causes! {
    hardware, "the architecture's manual: translation table walks",
        "Hardware notes accesses in the entry that it walked, and writes where the entry is writable.";

    table_alloc, "mm/memory.c:__pte_alloc",
        "A table is made for the first entry under it.";
    free_pgtables, "mm/memory.c:free_pgtables",
        "Tables that map nothing any more are freed.";
    pt_reclaim, "mm/pt_reclaim.c:try_to_free_pte",
        "A table that MADV_DONTNEED emptied is freed.";

    tlb_finish, "mm/mmu_gather.c:tlb_finish_mmu",
        "What a call changed is flushed in one go when it is done.";
    tlb_end_vma, "include/asm-generic/tlb.h:tlb_end_vma",
        "This architecture flushes at the end of each VMA.";
    tlb_fullmm, "mm/mmu_gather.c:tlb_finish_mmu",
        "An address space that ends is flushed as a whole.";

    fault_anon, "mm/memory.c:do_anonymous_page",
        "The first write maps a new folio, of the largest order that is allowed and fits, whole.";
    fault_zero, "mm/memory.c:do_anonymous_page",
        "A read of memory that was never written maps the zero page, read-only.";
    fault_object, "mm/memory.c:do_fault",
        "The page comes from the mapping's page cache.";
    fault_around, "mm/memory.c:do_fault_around",
        "Pages around a read fault that are cached already are mapped along with it.";
    fault_cow, "mm/memory.c:do_cow_fault",
        "A write to private memory gets a copy of the page cache's page.";
    fault_reuse, "mm/memory.c:wp_page_reuse",
        "A page that nobody else maps becomes writable without a copy.";
    fault_shared_write, "mm/memory.c:wp_page_shared",
        "A write to shared memory makes its entry writable and dirty.";
    fault_copy, "mm/memory.c:wp_page_copy",
        "A write to a page that may be shared gets a copy of its own: one page, exclusive.";
    fault_access_flags, "mm/memory.c:handle_pte_fault",
        "Software sets accessed, and dirty for a write, where hardware did not.";
    fault_numa, "mm/memory.c:do_numa_page",
        "A hinted entry gets its protection back, on this node or another.";
    fault_swap, "mm/memory.c:do_swap_page",
        "What is in swap is read back: the page, or the folio around it, where faults may use its size and it lies in one piece.";
    fault_device, "mm/memory.c:do_swap_page",
        "A device's page comes home.";
    fault_huge, "mm/huge_memory.c:do_huge_pmd_anonymous_page",
        "Where huge pages are allowed and one fits, a fault maps it whole.";
    fault_huge_zero, "mm/huge_memory.c:do_huge_pmd_anonymous_page",
        "Where huge pages are allowed and one fits, a read maps the huge zero page, read-only.";
    fault_huge_zero_write, "mm/huge_memory.c:do_huge_zero_wp_pmd",
        "A write to the huge zero page gets a huge page of its own.";
    fault_huge_reuse, "mm/huge_memory.c:do_huge_pmd_wp_page",
        "A huge page that nobody else maps becomes writable without a copy.";
    fault_huge_shared, "mm/huge_memory.c:do_huge_pmd_wp_page",
        "A write to a huge page that may be shared splits its leaf, so that one page can be copied.";
    fault_huge_access_flags, "mm/huge_memory.c:huge_pmd_set_accessed",
        "Software sets accessed, and dirty for a write, where hardware did not.";
    fault_huge_numa, "mm/huge_memory.c:do_huge_pmd_numa_page",
        "A hinted huge leaf gets its protection back, on this node or another.";
    populate, "mm/gup.c:faultin_page",
        "Pages are faulted in, as accesses would.";

    mprotect_entry, "mm/mprotect.c:change_pte_range",
        "Present entries change one at a time, each in a transaction of its own; a write upgrade asks whether the page is exclusive.";
    mprotect_batch, "mm/mprotect.c:change_pte_range",
        "Present entries of one folio change in one transaction; a write upgrade goes by runs of equal AnonExclusive.";
    mprotect_huge, "mm/huge_memory.c:change_huge_pmd",
        "A huge leaf that the range covers changes as a whole.";
    mprotect_softleaf, "mm/mprotect.c:change_softleaf_pte",
        "Of software entries only permission to write is taken: a writable migration or device entry becomes readable.";
    write_upgrade, "mm/mprotect.c:can_change_pte_writable",
        "A page that nobody else has, or shared memory that is dirty already, becomes writable without a fault.";
    write_not_exclusive, "mm/mprotect.c:can_change_pte_writable",
        "A page that may be shared stays read-only: the first write asks again, or copies it.";
    write_not_anon, "mm/mprotect.c:can_change_pte_writable",
        "In private memory, the zero page and pages of files stay read-only: the first write copies them.";
    write_shared_clean, "mm/mprotect.c:can_change_pte_writable",
        "Shared memory that is clean stays read-only, so that the first write is noticed.";
    write_numa_hint, "mm/mprotect.c:can_change_pte_writable",
        "An entry that is to be inaccessible does not become writable.";
    write_soft_dirty, "mm/mprotect.c:can_change_pte_writable",
        "A page that is not soft-dirty stays read-only, so that the first write is noticed.";
    write_uffd_wp, "mm/mprotect.c:can_change_pte_writable",
        "A page that userfaultfd protects stays read-only.";

    numa_hint, "mm/mempolicy.c:change_prot_numa",
        "NUMA balancing takes access away, so that the next access is noticed.";
    numa_skip, "mm/mempolicy.c:folio_can_map_prot_numa",
        "NUMA balancing passes over what a hint fault could do nothing for: pages that are shared, on the CPU's own node, or inaccessible already.";
    migrate_misplaced, "mm/migrate.c:migrate_misplaced_folio",
        "A folio on another node moves to that of the CPU that accessed it.";

    fork_private, "mm/memory.c:copy_present_ptes",
        "Parent and child share private pages: both entries lose write permission, and the page its AnonExclusive.";
    fork_shared, "mm/memory.c:copy_present_ptes",
        "The child maps the pages of shared memory too, clean and old.";
    fork_softleaf, "mm/memory.c:copy_nonpresent_pte",
        "The child gets a copy of a software entry; both lose what says writable or exclusive.";
    fork_huge, "mm/huge_memory.c:copy_huge_pmd",
        "Parent and child share a huge page: both leaves lose write permission, and the page its AnonExclusive.";
    fork_flush, "kernel/fork.c:dup_mmap",
        "A fork may have taken write permission anywhere: all translations of the parent go.";

    unmap, "mm/memory.c:zap_pte_range",
        "Entries of memory that goes are cleared.";
    dontneed, "mm/madvise.c:madvise_dontneed_single_vma",
        "The contents go: entries are cleared.";
    remove, "mm/memory.c:unmap_mapping_range",
        "A part of a file or of shared memory is given back: entries of its pages are cleared for everybody.";
    marker_stays, "mm/memory.c:zap_nonpresent_ptes",
        "Guards outlive the contents of memory, as userfaultfd's protection of shared memory does.";
    free_swap, "mm/madvise.c:madvise_free_pte_range",
        "What is in swap is freed at once, and its entry cleared.";
    free, "mm/madvise.c:madvise_free_pte_range",
        "Pages may be dropped: entries become clean and old.";
    free_not_alone, "mm/madvise.c:madvise_free_pte_range",
        "A dirty folio that is mapped elsewhere too, or only in part, is not given up, nor a page whose slot in swap others have.";
    cold, "mm/madvise.c:madvise_cold_or_pageout_pte_range",
        "Pages are deactivated: entries become old.";
    pageout, "mm/madvise.c:madvise_cold_or_pageout_pte_range",
        "Pages are deactivated and reclaimed: entries become old, or go.";
    folio_shared, "include/linux/mm.h:folio_maybe_mapped_shared",
        "Folios that others map too are passed over.";
    folio_in_part, "include/linux/huge_mm.h:split_folio",
        "A large folio that lies in the range only in part is split first.";
    guard_install, "mm/madvise.c:madvise_guard_install",
        "Guard regions are markers in the entries.";
    guard_remove, "mm/madvise.c:madvise_guard_remove",
        "Where a guard is removed, nothing is mapped.";
    collapse, "mm/khugepaged.c:collapse_huge_page",
        "Pages are copied into one huge page.";

    mremap, "mm/mremap.c:move_ptes",
        "Entries move with their pages to the new place.";
    mremap_huge, "mm/huge_memory.c:move_huge_pmd",
        "A huge leaf moves with its page to the new place.";
    mremap_table, "mm/mremap.c:move_pgt_entry",
        "Where both places allow it, a whole table moves: its entries stay as they are, for other addresses.";

    swap_out, "mm/rmap.c:try_to_unmap_one",
        "A page that is reclaimed leaves a swap entry behind.";
    swap_split, "mm/vmscan.c:shrink_folio_list",
        "A folio for which swap has no room in one piece is split.";
    lazyfree, "mm/rmap.c:try_to_unmap_one",
        "A lazyfree page that stayed clean is dropped, one that was written stays.";
    hwpoison, "mm/rmap.c:try_to_unmap_one",
        "A page that failed is unmapped; its entry says so.";

    migrate_begin, "mm/rmap.c:try_to_migrate_one",
        "Every mapping of a page that is to move becomes a migration entry.";
    migrate_end, "mm/migrate.c:remove_migration_pte",
        "The page has moved: its migration entries map it again.";
    device_private, "mm/migrate_device.c:migrate_vma_collect_pmd",
        "A page that goes to a device's memory leaves a device entry behind.";
    device_exclusive, "mm/rmap.c:make_device_exclusive",
        "A page that is lent to a device alone leaves a device-exclusive entry behind.";
    device_restore, "mm/memory.c:restore_exclusive_pte",
        "A page that was lent to a device alone is the process's again.";
    folio_split, "mm/huge_memory.c:remap_page",
        "The pages of a folio that is split are mapped anew, each by the new folio that it is in.";
    split_zeropage, "mm/migrate.c:try_to_map_unused_to_zeropage",
        "A page of a split folio that holds only zeros becomes the zero page.";
    huge_split, "mm/huge_memory.c:__split_huge_pmd",
        "A huge leaf of which a part changes is split into a table first.";

    clear_soft_dirty, "fs/proc/task_mmu.c:clear_soft_dirty",
        "Soft-dirty is cleared, and write permission, so that the next write is noticed.";
    clear_young, "fs/proc/task_mmu.c:clear_refs_pte_range",
        "Accessed is cleared, so that the next access is noticed.";
    pagemap_scan, "fs/proc/task_mmu.c:pagemap_scan_pmd_entry",
        "A scan with PM_SCAN_WP_MATCHING write-protects the pages that it tells of.";

    uffd_wp, "mm/userfaultfd.c:uffd_wp_range",
        "userfaultfd's write protection is a bit of the entry, or a marker where none is present, and no permission to write.";
    uffd_wp_resolve, "mm/userfaultfd.c:uffd_wp_range",
        "userfaultfd lets writes through again: its bit, or its marker, goes.";
    uffd_wp_softleaf, "mm/mprotect.c:change_softleaf_pte",
        "Where no page is present, userfaultfd's write protection is a flag of the software entry, or a marker.";
    uffd_async, "mm/memory.c:do_wp_page",
        "With WP_ASYNC, a write lifts the write protection by itself.";
    uffd_left_over, "mm/memory.c:pte_marker_clear",
        "A marker whose registration is gone is cleared by the next access.";
    uffd_mark_zapped, "mm/memory.c:zap_install_uffd_wp_if_needed",
        "Where shared memory is protected by userfaultfd, a marker keeps that when its entry goes.";
    uffd_poison, "mm/userfaultfd.c:mfill_atomic_pte_poison",
        "A poison marker answers every access with SIGBUS.";
}
