//! The causes that this port applies.

ptelab_pgtable::causes! {
    flush_ceiling, "arch/powerpc/mm/book3s64/radix_tlb.c:__radix__flush_tlb_range",
        "A range of more leaves than tlb_single_page_flush_ceiling is flushed with the whole address space.";
}
