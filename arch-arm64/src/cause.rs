//! The causes that this port applies.

ptelab_pgtable::causes! {
    erratum_2645198, "arch/arm64/mm/mmu.c:modify_prot_start_ptes",
        "On CPUs with erratum 2645198, old translations go before a page loses execute permission.";
    flush_excess, "arch/arm64/include/asm/tlbflush.h:__flush_tlb_range_limit_excess",
        "A range that would take too many invalidations is flushed with the whole address space.";
}
