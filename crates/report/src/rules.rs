//! The rules of calls that change entries themselves, each with the Linux function that it follows.

/// What an entry was and became, and how the kernel goes about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    /// It was a software entry: swap, migration, a device's, a marker.
    pub(crate) was_soft: bool,
    /// It is one now.
    pub(crate) is_soft: bool,
    /// mprotect changes entries in batches.
    pub(crate) batches: bool,
}

/// When a rule applies.
#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    WasSoft,
    IsSoft,
    PerEntry,
}

struct Rule {
    /// The calls that it is of.
    calls: &'static [&'static str],
    /// What stands in the text of such a call.
    with: &'static str,
    when: When,
    text: &'static str,
    source: &'static str,
}

const fn rule(
    calls: &'static [&'static str],
    with: &'static str,
    when: When,
    text: &'static str,
    source: &'static str,
) -> Rule {
    Rule { calls, with, when, text, source }
}

const MPROTECT: &[&str] = &["mprotect", "pkey_mprotect"];
const FORK: &[&str] = &["fork", "vfork", "clone", "clone3"];
const ADVICE: &[&str] = &["madvise", "process_madvise"];
const UNMAP: &[&str] = &["munmap", "exit_group", "exit", "execve", "mmap", "brk", "shmdt"];

/// The first that applies is the one.
const RULES: &[Rule] = &[
    rule(
        MPROTECT,
        "",
        When::WasSoft,
        "Of software entries only permission to write is taken: a writable migration or device entry becomes readable.",
        "mm/mprotect.c:change_pte_range",
    ),
    rule(
        MPROTECT,
        "",
        When::PerEntry,
        "Present entries change one at a time, each in a transaction of its own; a write upgrade asks whether the page is exclusive.",
        "mm/mprotect.c:change_pte_range",
    ),
    rule(
        MPROTECT,
        "",
        When::Always,
        "Present entries of one folio change in one transaction; a write upgrade goes by runs of equal AnonExclusive.",
        "mm/mprotect.c:change_pte_range",
    ),
    rule(
        FORK,
        "",
        When::WasSoft,
        "The child gets a copy of a software entry; both lose what says writable or exclusive.",
        "mm/memory.c:copy_nonpresent_pte",
    ),
    rule(
        FORK,
        "",
        When::Always,
        "Parent and child share private pages: both entries lose write permission, and the page its AnonExclusive.",
        "mm/memory.c:copy_present_ptes",
    ),
    rule(UNMAP, "", When::Always, "Entries of memory that goes are cleared.", "mm/memory.c:zap_pte_range"),
    rule(
        &["mremap"],
        "",
        When::Always,
        "Entries move with their pages to the new place.",
        "mm/mremap.c:move_ptes",
    ),
    rule(
        &["clear_refs"],
        "(4",
        When::Always,
        "Soft-dirty is cleared, and write permission, so that the next write is noticed.",
        "fs/proc/task_mmu.c:clear_soft_dirty",
    ),
    rule(
        &["clear_refs"],
        "",
        When::Always,
        "Accessed is cleared, so that the next access is noticed.",
        "fs/proc/task_mmu.c:clear_refs_pte_range",
    ),
    rule(
        &["numa_scan"],
        "",
        When::Always,
        "NUMA balancing takes access away, so that the next access is noticed.",
        "mm/mempolicy.c:change_prot_numa",
    ),
    rule(
        ADVICE,
        "MADV_DONTNEED",
        When::Always,
        "The contents go: entries are cleared.",
        "mm/madvise.c:madvise_dontneed_single_vma",
    ),
    rule(
        ADVICE,
        "MADV_FREE",
        When::WasSoft,
        "What is in swap is freed at once, and its entry cleared.",
        "mm/madvise.c:madvise_free_pte_range",
    ),
    rule(
        ADVICE,
        "MADV_FREE",
        When::Always,
        "Pages may be dropped: entries become clean and old.",
        "mm/madvise.c:madvise_free_pte_range",
    ),
    rule(
        ADVICE,
        "MADV_PAGEOUT",
        When::IsSoft,
        "A page that is reclaimed leaves a swap entry behind.",
        "mm/rmap.c:try_to_unmap_one",
    ),
    rule(
        ADVICE,
        "MADV_PAGEOUT",
        When::Always,
        "Pages are deactivated and reclaimed: entries become old, or go.",
        "mm/madvise.c:madvise_cold_or_pageout_pte_range",
    ),
    rule(
        ADVICE,
        "MADV_COLD",
        When::Always,
        "Pages are deactivated: entries become old.",
        "mm/madvise.c:madvise_cold_or_pageout_pte_range",
    ),
    rule(
        ADVICE,
        "MADV_GUARD",
        When::Always,
        "Guard regions are markers in the entries.",
        "mm/madvise.c:madvise_guard_install",
    ),
    rule(
        ADVICE,
        "MADV_COLLAPSE",
        When::Always,
        "Pages are copied into one huge page.",
        "mm/khugepaged.c:collapse_huge_page",
    ),
    rule(
        ADVICE,
        "MADV_POPULATE",
        When::Always,
        "Pages are faulted in, as accesses would.",
        "mm/gup.c:faultin_page_range",
    ),
    rule(
        &["hwpoison"],
        "",
        When::Always,
        "A page that failed is unmapped; its entry says so.",
        "mm/rmap.c:try_to_unmap_one",
    ),
    rule(
        &["reclaim"],
        "",
        When::Always,
        "A lazyfree page that stayed clean is dropped, one that was written stays.",
        "mm/rmap.c:try_to_unmap_one",
    ),
    rule(
        &["migrate_begin"],
        "",
        When::Always,
        "Who maps a page that is to move gets a migration entry for it.",
        "mm/rmap.c:try_to_migrate_one",
    ),
    rule(
        &["migrate_end"],
        "",
        When::Always,
        "The page has moved: its migration entries map it again.",
        "mm/migrate.c:remove_migration_pte",
    ),
    rule(
        &["device_private"],
        "",
        When::Always,
        "A page that goes to a device's memory leaves a device entry behind.",
        "mm/migrate_device.c:migrate_vma_collect_pmd",
    ),
    rule(
        &["device_exclusive"],
        "",
        When::Always,
        "A page that is lent to a device alone leaves a device-exclusive entry behind.",
        "mm/rmap.c:make_device_exclusive",
    ),
    rule(
        &["split_folio"],
        "",
        When::Always,
        "The pages of a folio that is split are mapped anew, each by the new folio that it is in.",
        "mm/huge_memory.c:remap_page",
    ),
    rule(
        &["uffd_wp", "uffd_unregister"],
        "",
        When::Always,
        "userfaultfd's write protection is a bit of the entry, or a marker where none is present, and no permission to write.",
        "mm/userfaultfd.c:uffd_wp_range",
    ),
    rule(
        &["uffd_poison"],
        "",
        When::Always,
        "A poison marker answers every access with SIGBUS.",
        "mm/userfaultfd.c:mfill_atomic_pte_poison",
    ),
    rule(
        &["pagemap_scan"],
        "",
        When::Always,
        "A scan with PM_SCAN_WP_MATCHING write-protects the pages that it tells of.",
        "fs/proc/task_mmu.c:pagemap_scan_pmd_entry",
    ),
];

/// The rule of a call that changes entries itself, and its source.
pub(crate) fn of_call(name: &str, text: &str, situation: Situation) -> Option<(&'static str, &'static str)> {
    let applies = |rule: &&Rule| {
        rule.calls.contains(&name)
            && text.contains(rule.with)
            && match rule.when {
                When::Always => true,
                When::WasSoft => situation.was_soft,
                When::IsSoft => situation.is_soft,
                When::PerEntry => !situation.batches,
            }
    };
    RULES.iter().find(applies).map(|rule| (rule.text, rule.source))
}
