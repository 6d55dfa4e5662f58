//! What this port does otherwise from one kernel to the next.

use ptelab_pgtable::changes;

changes! {
    /// The changes of ppc64 that hold in a kernel.
    pub struct Rules;

    /// A huge leaf stays special under another protection.
    pmd_modify_keeps_special {
        since: Turn::between("6.12", "7.2"),
        file: "arch/powerpc/include/asm/book3s/64/pgtable.h, _HPAGE_CHG_MASK",
        probe: Probe::Unseen("before it, no huge leaf of memory was special"),
    }
}
