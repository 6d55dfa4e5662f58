//! What this port does otherwise from one kernel to the next.

use ptelab_pgtable::changes;

changes! {
    /// The changes of s390x that hold in a kernel.
    pub struct Rules;

    /// Segment-table entries say present, and have read, write and soft-dirty in other bits.
    segment_present {
        since: Turn::between("6.12", "7.2"),
        file: "arch/s390/include/asm/pgtable.h, _SEGMENT_ENTRY_PRESENT",
        probe: Probe::Plays {
            scenario: r#"
                thp("1024kB", "always")
                mmap(0x40000000, 1M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 1M)
                dump(0x40000000, 1M, "huge")
            "#,
            shows: Shows::Words,
        },
    }

    /// A huge page under migration has a segment-table entry of its own; earlier it was split.
    thp_migration {
        since: Turn::between("6.12", "7.2"),
        file: "arch/s390/Kconfig, ARCH_ENABLE_THP_MIGRATION",
        probe: Probe::Plays {
            scenario: r#"
                thp("1024kB", "always")
                mmap(0x40000000, 1M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 1M)
                migrate_begin(0x40000000, 1M)
                migrate_end(0x40000000, 1M)
                dump(0x40000000, 1M, "huge, or pages")
            "#,
            shows: Shows::Words,
        },
    }

    /// Large folios go to swap whole, where before they were split.
    thp_swap {
        since: Turn::between("6.12", "7.2"),
        file: "arch/s390/Kconfig, ARCH_WANTS_THP_SWAP",
        probe: Probe::Plays {
            scenario: r#"
                swapon(64M)
                thp("1024kB", "always")
                mmap(0x40000000, 1M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 1M)
                madvise(0x40000000, 1M, MADV_PAGEOUT)
                dump(0x40000000, 1M, "slots of a folio, or of pages")
            "#,
            shows: Shows::Words,
        },
    }
}
