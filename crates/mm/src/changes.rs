//! What differs in memory management from one kernel to the next. A new change is a row here, and a look at its field where it
//! decides.

mod probes;

use ptelab_pgtable::changes;

/// A fault that `check` plants ([`KernelRules::plants`](ptelab_pgtable::KernelRules::plants)), true in no kernel here: mremap keeps
/// uffd-wp bits that nobody can lift any more. The mend is 0cef0bb836e3.
pub const MREMAP_KEEPS_UFFD_WP: &str = "mremap_keeps_uffd_wp";

changes! {
    /// The changes of memory management that hold in a kernel.
    pub struct Rules;

    /// mprotect changes the entries of a large folio in batches, and looks at the page struct of every present entry.
    mprotect_batches {
        since: Turn::at("6.17").by("cac1db8c3aad"),
        file: "mm/mprotect.c, change_pte_range",
        probe: Probe::Plays {
            scenario: r#"
                thp("32kB", "always")
                mmap(0x40000000, 32K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 32K)
                clear_refs(1)
                touch(0x40000000, 4K, READ)
                mprotect(0x40000000, 32K, PROT_READ)
                dump(0x40000000, 32K, "the first page is accessed, or all are")
            "#,
            shows: Shows::Words,
        },
    }

    /// A batch reads its AnonExclusive bits from the folio's head on, even where it starts further on.
    exclusive_from_folio_head {
        since: Turn::at("6.17-rc1").by("cac1db8c3aad"),
        until: Turn::at("6.17-rc2").by("cf1b80dc31a1"),
        file: "mm/mprotect.c, commit_anon_folio_batch",
        probe: Probe::Plays {
            scenario: r#"
                thp("64kB", "always")
                mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 64K)
                madvise(0x40000000, 32K, MADV_DONTFORK)
                fork()
                mprotect(0x40008000, 32K, PROT_READ)
                mprotect(0x40008000, 32K, PROT_READ|PROT_WRITE)
                dump(0x40000000, 64K, "the second half is shared")
            "#,
            shows: Shows::Words,
        },
    }

    /// A write takes over a large folio that no other process maps any more; before, only a single page.
    wp_reuses_large_folios {
        since: Turn::between("6.12", "6.16"),
        file: "mm/memory.c, wp_can_reuse_anon_folio",
        probe: Probe::Plays {
            scenario: r#"
                thp("64kB", "always")
                mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 64K)
                fork() = 2
                [pid 2] exit_group(0)
                touch(0x40000000, 4K, WRITE)
                dump(0x40000000, 64K, "taken over, or copied")
            "#,
            shows: Shows::Pages,
        },
    }

    /// A read fault maps a page of a file or of shared memory that is dirty already by a dirty entry, where the entry is writable at once.
    read_fault_maps_dirty {
        since: Turn::between("6.12", "6.16"),
        file: "mm/memory.c, set_pte_range",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 4K)
                madvise(0x40000000, 4K, MADV_DONTNEED)
                touch(0x40000000, 4K, READ)
                dump(0x40000000, 4K, "dirty, or clean")
            "#,
            shows: Shows::Words,
        },
    }

    /// mremap moves contiguous blocks whole.
    mremap_batches {
        since: Turn::at("6.17"),
        file: "mm/mremap.c, move_ptes",
        probe: Probe::Plays {
            scenario: r#"
                thp("128kB", "always")
                mmap(0x40000000, 128K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 128K)
                clear_refs(1)
                touch(0x40000000, 64K, READ)
                mremap(0x40000000, 128K, 128K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x40410000)
                dump(0x40410000, 128K, "accessed in both blocks, or in one")
            "#,
            shows: Shows::Words,
        },
    }

    /// A move to a fixed place with equal lengths may span several VMAs.
    mremap_many_vmas {
        since: Turn::at("6.17"),
        file: "mm/mremap.c, remap_move",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 8K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                mprotect(0x40001000, 4K, PROT_READ)
                mremap(0x40000000, 8K, 8K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x40400000)
            ",
            shows: Shows::Results,
        },
    }

    /// `mremap` without a new address refuses a length above the address space as `EINVAL`, before it looks for room.
    mremap_checks_length {
        since: Turn::at("6.17"),
        file: "mm/mremap.c, check_mremap_params",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                mremap(0x40000000, 4K, 0xfffffffffffff000, MREMAP_MAYMOVE)
            ",
            shows: Shows::Results,
        },
    }

    /// A VMA that has pages may merge with one that never had any, not only the other way round.
    used_merges_with_unused {
        since: Turn::between("6.12", "6.16"),
        file: "mm/vma.c, is_mergeable_anon_vma",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 8K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                madvise(0x40001000, 4K, MADV_DONTFORK)
                memset(0x40000000, 7, 4K)
                madvise(0x40000000, 4K, MADV_DONTFORK)
                dump(0x40000000, 8K, "one area, or two")
            "#,
            shows: Shows::Areas,
        },
    }

    /// A VMA that grows by what mremap moves beside it does not get its anon_vma, so that fork copies none of the pages.
    copy_forgets_anon_vma {
        until: Turn::at("6.18"),
        file: "mm/vma.c, vma_expand",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x50004000, 16K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x50004000, 7, 16K)
                mremap(0x50004000, 16K, 16K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x60000000)
                mmap(0x50008000, 16K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                mremap(0x60000000, 16K, 16K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x50004000)
                fork() = 2
                [pid 2] dump(0x50004000, 16K, "there, or not")
            "#,
            shows: Shows::Words,
        },
    }

    /// NUMA hinting passes over shared memory, which has a policy of its own that does not ask for balancing.
    numa_passes_shared {
        since: Turn::between("6.12", "6.16"),
        until: Turn::between("7.1", "7.2"),
        file: "mm/mempolicy.c, vma_policy_mof",
        probe: Probe::Plays {
            scenario: r#"
                numa(2)
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 4K)
                numa_scan(0x40000000, 4K)
                dump(0x40000000, 4K, "accessible, or not")
            "#,
            shows: Shows::Words,
        },
    }

    /// `MADV_COLLAPSE` is `EINVAL` where no entry is writable.
    collapse_needs_writable {
        until: Turn::at("6.18"),
        file: "mm/khugepaged.c, hpage_collapse_scan_pmd",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 64K)
                mprotect(0x40000000, 2M, PROT_READ)
                madvise(0x40000000, 2M, MADV_COLLAPSE)
            ",
            shows: Shows::Results,
        },
    }

    /// `MADV_COLLAPSE` goes on to no other block after one that has no table.
    collapse_stops_at_hole {
        until: Turn::at("6.19"),
        file: "mm/khugepaged.c, madvise_collapse",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 4M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                touch(0x40200000, 4K, WRITE)
                madvise(0x40000000, 4M, MADV_COLLAPSE)
                dump(0x40200000, 2M, "the second block")
            "#,
            shows: Shows::Words,
        },
    }

    /// Whether others map a large folio is guessed by how often its first page is mapped, and advice splits it in all of them.
    mapped_shared_is_guessed {
        until: Turn::between("6.12", "6.16"),
        file: "include/linux/mm.h, folio_likely_mapped_shared",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                thp("64kB", "always")
                memset(0x40000000, 7, 64K)
                munmap(0x40000000, 16K)
                munmap(0x4000c000, 16K)
                madvise(0x40004000, 16K, MADV_DONTFORK)
                fork() = 2
                madvise(0x40005000, 4K, MADV_FREE)
                dump(0x40004000, 16K, "dirty, or given up")
            "#,
            shows: Shows::Words,
        },
    }

    /// mremap to a new place looks for the VMA, and whether it is sealed, before it looks at the place.
    mremap_finds_vma_first {
        until: Turn::at("6.17"),
        file: "mm/mremap.c, mremap_to",
        probe: Probe::Plays {
            scenario: r"
                mremap(0x40000000, 4K, 4K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x40000000)
            ",
            shows: Shows::Results,
        },
    }

    /// mremap looks whether the new place is whole pages after it has found the VMA.
    mremap_aligns_late {
        until: Turn::between("6.12", "6.16"),
        file: "mm/mremap.c, mremap_to",
        probe: Probe::Plays {
            scenario: r"
                mremap(0x40000000, 4K, 4K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x50000800)
            ",
            shows: Shows::Results,
        },
    }

    /// mremap with `MREMAP_DONTUNMAP` compares the lengths as they are given, and only then rounds them to pages.
    dontunmap_compares_given_lengths {
        until: Turn::at("6.17"),
        file: "mm/mremap.c, mremap",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                mremap(0x40000000, 4095, 4K, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, 0x40400000)
            ",
            shows: Shows::Results,
        },
    }

    /// mremap to a fixed place empties that place before it looks at what would be moved.
    mremap_unmaps_before_checks {
        until: Turn::at("6.17"),
        file: "mm/mremap.c, mremap_to",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 8K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                mmap(0x40400000, 12K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                mremap(0x40000000, 12K, 16K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x40400000) = -1 EFAULT
                dump(0x40400000, 12K, "there, or gone")
            "#,
            shows: Shows::Areas,
        },
    }

    /// Splitting a folio stops at the first huge leaf that is taken down, and fails where other processes map the folio, too.
    split_stops_at_huge_leaf {
        since: Turn::between("6.12", "6.16"),
        until: Turn::at("6.19"),
        file: "mm/rmap.c, try_to_migrate_one",
        probe: Probe::Plays {
            scenario: r#"
                thp("2048kB", "always")
                mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 2M)
                fork()
                split_folio(0x40000000, 0)
                dump(0x40000000, 16K, "mapped by two processes")
            "#,
            shows: Shows::Words,
        },
    }

    /// NUMA hinting passes over huge leaves as over page entries: those of shared copy-on-write folios, and those on the CPU's node.
    numa_skips_huge_leaves {
        since: Turn::at("6.19"),
        file: "mm/huge_memory.c, change_huge_pmd",
        probe: Probe::Plays {
            scenario: r#"
                numa(2)
                thp("2048kB", "always")
                mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 2M)
                numa_scan(0x40000000, 2M)
                dump(0x40000000, 2M, "on the CPU's node")
            "#,
            shows: Shows::Words,
        },
    }

    /// The anonymous VMA that `MREMAP_DONTUNMAP` leaves behind numbers its pages by its address again, and merges with new neighbours.
    dontunmap_resets_pgoff {
        since: Turn::between("7.1", "7.2").also_in(&["6.12.117"]),
        file: "mm/mremap.c, dontunmap_complete",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 256K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 256K)
                mremap(0x40000000, 256K, 256K, MREMAP_MAYMOVE|MREMAP_FIXED, 0x50000000)
                mremap(0x50000000, 256K, 256K, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, 0x40000000)
                munmap(0x50010000, 64K)
                mmap(0x50010000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0)
                dump(0x50000000, 256K, "one area, or three")
            "#,
            shows: Shows::Areas,
        },
    }

    /// Where `MREMAP_DONTUNMAP` moves a part of a locked VMA, only that part is unlocked, as a VMA of its own; before, all of it.
    dontunmap_unlocks_part {
        since: Turn::between("7.1", "7.2").also_in(&["6.12.117"]),
        file: "mm/mremap.c, dontunmap_complete",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 256K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                mlock(0x40000000, 256K)
                mremap(0x40000000, 64K, 64K, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, 0x50000000)
                dump(0x40000000, 256K, "one area, or two")
            "#,
            shows: Shows::Areas,
        },
    }

    /// `MREMAP_DONTUNMAP` takes `VM_ACCOUNT` from the VMA that it leaves behind.
    dontunmap_unaccounts {
        until: Turn::at("6.17").also_in(&["6.12.107"]),
        file: "mm/mremap.c, dontunmap_complete",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 64K)
                mremap(0x40000000, 64K, 64K, MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP, 0x40400000)
                dump(0x40000000, 64K, "left behind")
            "#,
            shows: Shows::Areas,
        },
    }

    /// Splitting a folio maps its zero-filled pages to the zero page, and the entry stays soft-dirty and write-protected.
    split_zeropage_keeps_soft_dirty {
        since: Turn::at("6.17").also_in(&["6.12.107"]),
        file: "mm/migrate.c, try_to_map_unused_to_zeropage",
        probe: Probe::Plays {
            scenario: r#"
                thp("64kB", "always")
                mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 4K)
                uffd(0x40000000, 64K, WP)
                uffd_wp(0x40000000, 64K, on)
                madvise(0x40000000, 16K, MADV_COLD)
                dump(0x40000000, 64K, "pages of zeros")
            "#,
            shows: Shows::Words,
        },
    }

    /// A page of zeros that fails in a huge leaf keeps its place when the folio is split, instead of becoming the zero page.
    split_keeps_failed_zeros {
        since: Turn::between("6.16", "6.18").also_in(&["6.12.107", "6.17.13"]),
        file: "mm/migrate.c, try_to_map_unused_to_zeropage",
        probe: Probe::Plays {
            scenario: r#"
                thp("2048kB", "always")
                mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 4K)
                hwpoison(0x40001000)
                dump(0x40000000, 16K, "the second page failed")
            "#,
            shows: Shows::Words,
        },
    }

    /// `MADV_COLLAPSE` of a range inside one huge page's worth of addresses fails with `EINVAL` instead of succeeding as a no-op.
    collapse_inside_block_fails {
        until: Turn::at("7.2"),
        file: "mm/khugepaged.c, madvise_collapse",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 4M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 64K)
                madvise(0x40001000, 8K, MADV_COLLAPSE)
            ",
            shows: Shows::Results,
        },
    }

    /// `MADV_COLLAPSE` of shared memory is `EINVAL` where sysfs allows it no huge pages.
    collapse_refuses_shared {
        since: Turn::between("6.12", "6.16"),
        until: Turn::at("7.2"),
        file: "mm/khugepaged.c, madvise_collapse",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 4M, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0)
                madvise(0x40000000, 4K, MADV_COLLAPSE)
            ",
            shows: Shows::Results,
        },
    }

    /// A write to the huge zero page puts a huge page in its place, instead of splitting it.
    huge_zero_write_replaces {
        since: Turn::between("6.12", "6.16"),
        file: "mm/huge_memory.c, do_huge_zero_wp_pmd",
        probe: Probe::Plays {
            scenario: r#"
                thp("2048kB", "always")
                mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                touch(0x40000000, 4K, READ)
                touch(0x40000000, 4K, WRITE)
                dump(0x40000000, 2M, "huge, or split")
            "#,
            shows: Shows::Words,
        },
    }

    /// A page of the huge zero page that fails is the kernel's own, and `EBUSY`; before, its folio could not be split, which is `EHWPOISON`.
    hwpoison_knows_huge_zero {
        since: Turn::at("6.19"),
        file: "mm/memory-failure.c, memory_failure",
        probe: Probe::Plays {
            scenario: r#"
                thp("2048kB", "always")
                mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                touch(0x40000000, 4K, READ)
                hwpoison(0x40001000)
            "#,
            shows: Shows::Results,
        },
    }

    /// pagemap knows the huge zero page by its special bit; before, it took it for a page of a file.
    pagemap_knows_huge_zero {
        since: Turn::at("7.3"),
        file: "fs/proc/task_mmu.c, pagemap_pmd_range_thp",
        probe: Probe::Plays {
            scenario: r#"
                thp("2048kB", "always")
                mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                touch(0x40000000, 4K, READ)
                dump(0x40000000, 2M, "of a file, or not")
            "#,
            shows: Shows::Pages,
        },
    }

    /// The huge zero page is mapped with the special bit.
    huge_zero_special {
        since: Turn::at("6.18"),
        file: "mm/huge_memory.c, set_huge_zero_folio",
        probe: Probe::Plays {
            scenario: r#"
                thp("2048kB", "always")
                mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                touch(0x40000000, 4K, READ)
                dump(0x40000000, 2M, "the huge zero page")
            "#,
            shows: Shows::Words,
        },
    }

    /// `MADV_DONTNEED` frees emptied tables, where the architecture asked for it.
    pt_reclaim {
        since: Turn::between("6.12", "6.16"),
        file: "mm/pt_reclaim.c, try_to_free_pte",
        probe: Probe::Plays {
            scenario: probes::RECLAIMED_TABLE,
            shows: Shows::Words,
        },
    }

    /// `MADV_DONTNEED` frees emptied tables wherever tables may be freed under walkers, not only where the architecture asked for it.
    pt_reclaim_wherever_safe {
        since: Turn::at("7.0"),
        file: "mm/Kconfig, PT_RECLAIM",
        probe: Probe::Plays {
            scenario: probes::RECLAIMED_TABLE,
            shows: Shows::Words,
        },
    }

    /// Merging ORs the sticky flags of all VMAs into the result (`VM_STICKY`), instead of giving it only the flags that the call set on its range.
    sticky_vma_flags {
        since: Turn::at("6.19"),
        file: "mm/vma.c, vma_merge_existing_range",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 16K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                clear_refs(4)
                mmap(0x40004000, 16K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                mprotect(0x40000000, 16K, PROT_READ)
                dump(0x40000000, 32K, "one VMA, soft-dirty or not")
                mmap(0x50000000, 16K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                mmap(0x50004000, 16K, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                madvise(0x50000000, 4K, MADV_GUARD_INSTALL)
                mprotect(0x50004000, 16K, PROT_READ|PROT_WRITE)
                dump(0x50000000, 32K, "one VMA, guarded or not")
            "#,
            shows: Shows::Areas,
        },
    }

    /// There are guard regions: `MADV_GUARD_INSTALL` and `MADV_GUARD_REMOVE`, where before they were unknown advice.
    guard_regions {
        since: Turn::between("6.12", "6.16"),
        file: "mm/madvise.c, madvise_behavior_valid",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 16K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                madvise(0x40000000, 4K, MADV_GUARD_INSTALL)
            ",
            shows: Shows::Results,
        },
    }

    /// `PAGEMAP_SCAN` knows `PAGE_IS_GUARD`.
    scan_knows_guard {
        since: Turn::between("6.12", "6.16"),
        file: "fs/proc/task_mmu.c, PM_SCAN_CATEGORIES",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 16K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                pagemap_scan(0x40000000, 16K, 0, 0x100, 0x100)
            ",
            shows: Shows::Results,
        },
    }

    /// Guard regions mark their VMA (`VM_MAYBE_GUARD`), where before shared memory got an anon_vma, so that fork copies them.
    guard_vma_flag {
        since: Turn::at("6.19"),
        file: "mm/madvise.c, madvise_guard_install",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 16K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                madvise(0x40000000, 4K, MADV_GUARD_INSTALL)
                dump(0x40000000, 16K, "marked")
            "#,
            shows: Shows::Areas,
        },
    }

    /// Swap goes to clusters of slots that were never used before it fills up those in use.
    swap_prefers_fresh_clusters {
        until: Turn::at("6.18"),
        file: "mm/swapfile.c, cluster_alloc_swap_entry",
        probe: Probe::Plays {
            scenario: probes::FRESH_CLUSTER,
            shows: Shows::Words,
        },
    }

    /// A cluster of swap slots that has become empty is filled again from its start by folios of the order that went there last.
    swap_restarts_emptied_cluster {
        since: Turn::between("6.12", "6.16"),
        until: Turn::at("6.18"),
        file: "mm/swapfile.c, swap_alloc_fast",
        probe: Probe::Plays {
            scenario: probes::EMPTIED_CLUSTER,
            shows: Shows::Words,
        },
    }

    /// A CPU takes swap slots for single pages 64 at a time, and gives them back so.
    swap_slots_are_cached {
        until: Turn::between("6.12", "6.16"),
        file: "mm/swap_slots.c, folio_alloc_swap",
        probe: Probe::Plays {
            scenario: probes::CACHED_SLOTS,
            shows: Shows::Words,
        },
    }

    /// Swap stays on the device that the last folio of the same order went to, as long as its cluster has room; before, it went to the
    /// first device that had any.
    swap_stays_on_device {
        since: Turn::between("6.12", "6.16"),
        file: "mm/swapfile.c, swap_alloc_fast",
        probe: Probe::Plays {
            scenario: probes::TWO_DEVICES,
            shows: Shows::Words,
        },
    }

    /// On a RAM disk the page of a slot's last swap entry is read bypassing the swap cache, so it is exclusive.
    swapin_bypasses_cache {
        until: Turn::at("7.0"),
        file: "mm/memory.c, do_swap_page",
        probe: Probe::Plays {
            scenario: probes::LAST_ENTRY,
            shows: Shows::Words,
        },
    }

    /// From a RAM disk, a page leaves the swap cache with its last swap entry also where it is read; before, only where it is written to.
    swapin_frees_cache {
        since: Turn::at("7.0"),
        file: "mm/memory.c, should_try_to_free_swap",
        probe: Probe::Plays {
            scenario: r"
                swapon(1M)
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 4K)
                madvise(0x40000000, 4K, MADV_PAGEOUT)
                fork() = 2
                touch(0x40000000, 4K, READ)
                [pid 2] touch(0x40000000, 4K, READ)
                [pid 2] hwpoison(0x40000000)
            ",
            shows: Shows::Results,
        },
    }

    /// `PR_SET_THP_DISABLE` knows `PR_THP_DISABLE_EXCEPT_ADVISED`.
    thp_disable_except_advised {
        since: Turn::at("6.18"),
        file: "kernel/sys.c, prctl_set_thp_disable",
        probe: Probe::Plays { scenario: "set_thp_disable(1, 2)", shows: Shows::Results },
    }

    /// `PAGEMAP_SCAN` reports pages as written only where userfaultfd could protect them, not wherever they are unprotected.
    scan_written_needs_uffd_wp {
        since: Turn::at("7.3"),
        file: "fs/proc/task_mmu.c, pagemap_page_category",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 16K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 8K)
                pagemap_scan(0x40000000, 16K, 0, PAGE_IS_WRITTEN|PAGE_IS_PRESENT, PAGE_IS_WRITTEN)
            ",
            shows: Shows::Results,
        },
    }

    /// A userfaultfd refuses ranges below `vm.mmap_min_addr`.
    uffd_refuses_low_addresses {
        until: Turn::between("6.19", "7.0").also_in(&["6.12.107"]),
        file: "fs/userfaultfd.c, validate_unaligned_range",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x1000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                uffd(0x1000, 4K, WP)
            ",
            shows: Shows::Results,
        },
    }

    /// `PAGEMAP_SCAN` reports empty, unprotected addresses as written; earlier, only in scans for that alone and where a table exists.
    scan_empty_is_written {
        since: Turn::at("7.1").also_in(&["6.12.107"]),
        file: "fs/proc/task_mmu.c, pagemap_scan_pte_hole",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 16K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                uffd(0x40000000, 16K, WP|WP_ASYNC)
                pagemap_scan(0x40000000, 16K, 0, PAGE_IS_WRITTEN, PAGE_IS_WRITTEN)
            ",
            shows: Shows::Results,
        },
    }

    /// Reclaim of a lazyfree folio that was written to splits its huge leaf, where before it stayed.
    reclaim_splits_written_huge {
        since: Turn::at("7.3").also_in(&["6.12.107"]),
        file: "mm/rmap.c, try_to_unmap_one",
        probe: Probe::Plays {
            scenario: r#"
                thp("2048kB", "always")
                mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 2M)
                madvise(0x40000000, 2M, MADV_FREE)
                touch(0x40000000, 4K, WRITE)
                reclaim(0x40000000, 2M)
                dump(0x40000000, 2M, "written to")
            "#,
            shows: Shows::Words,
        },
    }

    /// Reclaim takes the entries of a lazyfree folio together, where before it took one after the other until it met one that was written to.
    reclaim_batches_lazyfree {
        since: Turn::between("6.12", "6.16"),
        file: "mm/rmap.c, try_to_unmap_one",
        probe: Probe::Plays {
            scenario: r#"
                thp("64kB", "always")
                mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 64K)
                madvise(0x40000000, 64K, MADV_FREE)
                touch(0x4000c000, 4K, WRITE)
                reclaim(0x40000000, 64K)
                dump(0x40000000, 64K, "all of it, or what lies behind the written page")
            "#,
            shows: Shows::Words,
        },
    }

    /// Unmapping moves the folios that `MADV_FREE` gave up out of this CPU's batch; later they wait there, with a reference by which a
    /// write copies them.
    zap_drains_batches {
        until: Turn::between("6.12", "6.16"),
        file: "mm/memory.c, zap_page_range_single; mm/vma.c, unmap_region",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 8K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 8K)
                fork() = 2
                [pid 2] exit_group(0)
                madvise(0x40000000, 4K, MADV_FREE)
                madvise(0x40001000, 4K, MADV_DONTNEED)
                touch(0x40000000, 4K, WRITE)
                reclaim(0x40000000, 4K)
                fork() = 3
                [pid 3] madvise(0x40000000, 4K, MADV_FREE)
                [pid 3] dump(0x40000000, 4K, "reused, thus dirty, or copied")
            "#,
            shows: Shows::Words,
        },
    }

    /// Reclaim takes the entries of a lazyfree folio in runs of equal permission and soft-dirty, where before it put all back with the first one's.
    reclaim_respects_write {
        since: Turn::at("6.19").by("29f40594a281"),
        file: "mm/rmap.c, folio_unmap_pte_batch",
        probe: Probe::Plays {
            scenario: r#"
                thp("64kB", "always")
                mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 3, 64K)
                fork()
                [pid 2] memset(0x40000000, 8, 64K)
                madvise(0x40000000, 64K, MADV_FREE)
                touch(0x40000000, 4K, WRITE)
                reclaim(0x40000000, 64K)
                dump(0x40000000, 64K, "the first page was written to")
            "#,
            shows: Shows::Words,
        },
    }

    /// A folio queued for splitting stays queued after its migration; earlier it was forgotten.
    migration_requeues_split {
        since: Turn::at("7.0").also_in(&["6.12.107"]),
        file: "mm/migrate.c, migrate_folio_move",
        probe: Probe::Plays {
            scenario: r#"
                thp("64kB", "always")
                mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 64K)
                migrate_begin(0x40000000, 64K)
                migrate_end(0x40000000, 64K)
                migrate_begin(0x40000000, 64K)
                migrate_end(0x40000000, 64K)
                touch(0x40000000, 64K, READ)
                dump(0x40000000, 64K, "moved twice")
            "#,
            shows: Shows::Pages,
        },
    }

    /// Reclaim that splits a folio takes its pages in falling order, after the first.
    split_lists_backwards {
        since: Turn::between("6.12", "6.16"),
        file: "mm/huge_memory.c, __split_unmapped_folio",
        probe: Probe::Plays {
            scenario: r#"
                swapon(48K)
                thp("64kB", "always")
                mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 64K)
                madvise(0x40000000, 64K, MADV_PAGEOUT)
                dump(0x40000000, 64K, "the first pages are in swap, or the last")
            "#,
            shows: Shows::Words,
        },
    }

    /// A userfaultfd unregisters no memory that another has registered.
    uffd_unregisters_own {
        since: Turn::between("6.16", "6.17"),
        file: "fs/userfaultfd.c, userfaultfd_unregister",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 8K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                uffd(0x40000000, 4K, WP)
                uffd(0x40001000, 4K, WP|WP_UNPOPULATED)
                uffd_unregister(0x40000000, 8K)
            ",
            shows: Shows::Results,
        },
    }

    /// Memory of `MAP_DROPPABLE` is not locked by `MCL_FUTURE`; it is faulted in.
    droppable_is_never_locked {
        since: Turn::at("7.0").also_in(&["6.12.117"]),
        file: "mm/vma.c, __mmap_region",
        probe: Probe::Plays {
            scenario: r#"
                mlockall(MCL_FUTURE)
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_DROPPABLE|MAP_ANONYMOUS, -1, 0)
                dump(0x40000000, 4K, "locked, or not")
            "#,
            shows: Shows::Areas,
        },
    }

    /// userfaultfd refuses memory of `MAP_DROPPABLE`.
    uffd_refuses_droppable {
        since: Turn::between("6.16", "6.17"),
        file: "include/linux/userfaultfd_k.h, vma_can_userfault",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_DROPPABLE|MAP_ANONYMOUS, -1, 0)
                uffd(0x40000000, 4K, WP)
            ",
            shows: Shows::Results,
        },
    }

    /// `MADV_SOFT_OFFLINE` of the zero page, which is the kernel's own, fails with `ENOTRECOVERABLE`, not `EIO`.
    soft_offline_knows_kernel_pages {
        since: Turn::between("7.2", "7.3"),
        file: "mm/memory-failure.c, get_any_page",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                touch(0x40000000, 4K, READ)
                soft_offline(0x40000000)
            ",
            shows: Shows::Results,
        },
    }

    /// `PAGEMAP_SCAN` knows `PAGE_IS_ACCESSED`, a category no page here has.
    scan_knows_accessed {
        since: Turn::at("7.3"),
        file: "fs/proc/task_mmu.c, pagemap_scan_get_args",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 16K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                pagemap_scan(0x40000000, 16K, 0, 0x200, 0x200)
            ",
            shows: Shows::Results,
        },
    }
}
