//! What this port does otherwise from one kernel to the next.

use ptelab_pgtable::changes;

changes! {
    /// The changes of arm64 that hold in a kernel.
    pub struct Rules;

    /// `pte_mkwrite` of a clean entry clears RDONLY, so hardware sees it dirty.
    mkwrite_dirties_clean {
        until: Turn::between("6.16", "6.18").also_in(&["6.12.107", "6.17.13"]),
        file: "arch/arm64/include/asm/pgtable.h, pte_mkwrite",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 4K)
                madvise(0x40000000, 4K, MADV_FREE)
                mprotect(0x40000000, 4K, PROT_READ)
                mprotect(0x40000000, 4K, PROT_READ|PROT_WRITE)
                dump(0x40000000, 4K, "clean and writable")
            "#,
            shows: Shows::Words,
        },
    }

    /// `contpte_set_ptes` sets CONT on entries that are not valid, too.
    cont_on_invalid {
        until: Turn::at("7.3").also_in(&["6.12.117"]),
        file: "arch/arm64/mm/contpte.c, contpte_set_ptes",
        probe: Probe::Plays {
            scenario: r#"
                thp("2048kB", "always")
                mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 2M)
                mprotect(0x40000000, 2M, PROT_NONE)
                mprotect(0x401ff000, 4K, PROT_READ)
                dump(0x40000000, 2M, "split without access")
            "#,
            shows: Shows::Words,
        },
    }

    /// `contpte_ptep_get` stops as soon as it found both a dirty and a young entry.
    contpte_get_stops_early {
        since: Turn::at("6.17"),
        file: "arch/arm64/mm/contpte.c, contpte_ptep_get",
        probe: Probe::Plays {
            scenario: r#"
                thp("64kB", "always")
                mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 64K)
                mprotect(0x40000000, 64K, PROT_READ)
            "#,
            shows: Shows::Counts,
        },
    }

    /// There are `pte_needs_flush` and `huge_pmd_needs_flush`, where before every change of protection was flushed.
    needs_flush_arm64 {
        since: Turn::between("6.17", "7.2"),
        file: "arch/arm64/include/asm/tlbflush.h, pte_needs_flush",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 4K)
                mprotect(0x40000000, 4K, PROT_NONE)
                mprotect(0x40000000, 4K, PROT_READ)
            ",
            shows: Shows::Counts,
        },
    }

    /// Where a fault gave an entry more permission, this CPU alone is flushed.
    fault_flush_local {
        since: Turn::between("6.17", "7.2"),
        file: "arch/arm64/mm/fault.c, __ptep_set_access_flags",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 4K)
                fork()
                [pid 2] exit_group(0)
                touch(0x40000000, 4K, WRITE)
            ",
            shows: Shows::Counts,
        },
    }
}
