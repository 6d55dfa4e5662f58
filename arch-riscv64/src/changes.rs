//! What this port does otherwise from one kernel to the next.

use ptelab_pgtable::changes;

changes! {
    /// The changes of riscv64 that hold in a kernel.
    pub struct Rules;

    /// `pte_wrprotect` leaves an entry readable, and its result is stored, not exchanged.
    wrprotect_sets_read {
        since: Turn::between("6.12", "7.2"),
        file: "arch/riscv/include/asm/pgtable.h, pte_wrprotect, ptep_set_wrprotect",
        probe: Probe::Plays {
            scenario: r"
                mmap(0x40000000, 4K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 4K)
                fork() = 2
            ",
            shows: Shows::Counts,
        },
    }

    /// Memory that may be written may be read, also by its VMA's flags.
    write_implies_read {
        since: Turn::between("6.12", "7.2"),
        file: "arch/riscv/include/asm/mman.h, arch_calc_vm_prot_bits",
        probe: Probe::Plays {
            scenario: r#"
                mmap(0x40000000, 4K, PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                dump(0x40000000, 4K, "write-only")
            "#,
            shows: Shows::Areas,
        },
    }
}
