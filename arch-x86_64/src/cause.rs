//! The causes that this port applies.

ptelab_pgtable::causes! {
    flush_ceiling, "arch/x86/mm/tlb.c:flush_tlb_mm_range",
        "A range of more leaves than tlb_single_page_flush_ceiling is flushed with the whole address space.";
}
