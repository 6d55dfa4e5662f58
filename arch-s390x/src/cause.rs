//! The causes that this port applies.

ptelab_pgtable::causes! {
    flush_lazy, "arch/s390/mm/pgtable.c:ptep_flush_lazy",
        "No other CPU has the address space: an entry is marked invalid with a store, and everything is flushed later, at once.";
    flush_direct, "arch/s390/mm/pgtable.c:ptep_flush_direct",
        "An entry becomes invalid and its translation goes in one instruction, IPTE or IDTE, before it is written.";
    ipte_range, "arch/s390/include/asm/pgtable.h:__ptep_ipte_range",
        "One IPTE makes the entries of a batch invalid and flushes them, so that nothing is left to flush.";
}
