//! The causes that this port applies.

ptelab_pgtable::causes! {
    flush_all_threshold, "arch/riscv/mm/tlbflush.c:__flush_tlb_range",
        "A range of more leaves than tlb_flush_all_threshold is flushed with the whole address space.";
}
