//! What this port does otherwise from one kernel to the next.

use ptelab_pgtable::changes;

changes! {
    /// The changes of x86-64 that hold in a kernel.
    pub struct Rules;

    /// `pmd_modify` keeps the hardware's Dirty bit.
    pmd_modify_keeps_dirty {
        since: Turn::at("7.2").also_in(&["6.12.117"]),
        file: "arch/x86/include/asm/pgtable.h, pmd_modify",
        probe: Probe::Plays {
            scenario: r#"
                thp("2048kB", "always")
                mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
                memset(0x40000000, 7, 2M)
                mprotect(0x40000000, 2M, PROT_READ)
                dump(0x40000000, 2M, "read-only")
            "#,
            shows: Shows::Words,
        },
    }
}
