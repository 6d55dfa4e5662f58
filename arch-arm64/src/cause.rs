//! The causes that this port applies.

ptelab_pgtable::causes! {
    contpte_fold, "arch/arm64/mm/contpte.c:__contpte_try_fold",
        "A block of entries of one folio becomes one where they differ in frame, accessed and dirty only.";
    contpte_unfold, "arch/arm64/mm/contpte.c:__contpte_try_unfold",
        "A block is taken apart before a part of it changes, break-before-make.";
    contpte_set, "arch/arm64/mm/contpte.c:contpte_set_ptes",
        "Whole, aligned blocks of one folio are written with the contiguous bit.";
    contpte_access_flags, "arch/arm64/mm/contpte.c:contpte_ptep_set_access_flags",
        "Accessed and dirty go to all entries of a block, as hardware may look at any.";
    contpte_clear_young, "arch/arm64/mm/contpte.c:contpte_ptep_test_and_clear_young",
        "Of a block, all entries become old: age is kept by folio.";
    erratum_2645198, "arch/arm64/mm/mmu.c:modify_prot_start_ptes",
        "On CPUs with erratum 2645198, old translations go before a page loses execute permission.";
    flush_excess, "arch/arm64/include/asm/tlbflush.h:__flush_tlb_range_limit_excess",
        "A range that would take too many invalidations is flushed with the whole address space.";
}
