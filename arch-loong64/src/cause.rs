//! The causes that this port applies.

ptelab_pgtable::causes! {
    drop_asid, "arch/loongarch/mm/tlb.c:local_flush_tlb_range",
        "A range of more pairs of pages than an eighth of the TLB is flushed by giving the address space a new ASID.";
    set_pmd_flushes, "arch/loongarch/mm/pgtable.c:set_pmd_at",
        "Each store of a huge leaf flushes the whole TLB.";
}
