//! Examples by concept: the project's own scenarios, each of which begins with a comment that says what it shows.

use serde::Serialize;

/// A scenario to start from.
#[derive(Debug, Serialize)]
pub(crate) struct Example {
    concept: &'static str,
    name: &'static str,
    text: &'static str,
}

macro_rules! examples {
    ($($concept:literal: $($name:literal)*;)*) => {
        /// Every example; the first is what a page opens with.
        pub(crate) const EXAMPLES: &[Example] = &[$($(Example {
            concept: $concept,
            name: $name,
            text: include_str!(concat!("../../../fixtures/scenarios/", $name, ".scn")),
        }),*),*];
    };
}

examples! {
    "Contiguous blocks": "contpte-fold" "contpte-unfold" "contpte-mixed-block" "order0-never-folds" "t2-two-megabytes";
    "Batches": "batch-merges-accessed-dirty" "exclusive-mid-folio" "mthp-orders" "pte-mapped-thp";
    "Copy on write": "exclusive-after-fork" "cow-reuse-after-exit" "wipeonfork" "zero-page" "shared-anon";
    "Protection": "prot-none" "exec-only" "vma-merge" "account-flag" "guard" "errors";
    "Huge pages": "pmd-thp" "pmd-split" "collapse" "huge-zero-page" "split-folio";
    "Giving memory back": "madvise-free" "dontneed-hole" "partial-unmap" "cold-split" "lazyfree-pageout" "shared-remove";
    "Moving mappings": "mremap-move" "mremap-dontunmap" "mremap-duplicate";
    "Migration and NUMA": "migration" "migration-large-folio" "migration-huge" "numa-skip" "numa-hint-fault";
    "Swap": "swap-out-in" "swap-large-folio" "swap-fork" "swap-mprotect";
    "userfaultfd and tracking": "uffd-wp" "uffd-wp-fork" "uffd-wp-shared" "soft-dirty" "pagemap-scan" "markers";
    "Memory that fails, devices": "hwpoison" "device-private" "device-exclusive";
}
