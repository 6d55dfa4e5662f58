//! Scenarios that decide rows about swap, and one that decides several.

/// It shows whether `MADV_DONTNEED` frees emptied tables.
pub(super) const RECLAIMED_TABLE: &str = r#"
    mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
    memset(0x40000000, 7, 4K)
    madvise(0x40000000, 2M, MADV_DONTNEED)
    thp("2048kB", "always")
    touch(0x40000000, 4K, WRITE)
    dump(0x40000000, 2M, "a huge page, or a page in the old table")
"#;

/// It shows which cluster a page goes to first.
pub(super) const FRESH_CLUSTER: &str = r#"
    swapon(64M)
    mmap(0x40000000, 8K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
    memset(0x40000000, 7, 8K)
    madvise(0x40000000, 4K, MADV_PAGEOUT)
    dump(0x40000000, 8K, "its slot")
"#;

/// It shows where a folio goes after the only one of its cluster has come back.
pub(super) const EMPTIED_CLUSTER: &str = r#"
    swapon(64M)
    thp("64kB", "always")
    mmap(0x40000000, 128K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
    memset(0x40000000, 7, 128K)
    madvise(0x40000000, 64K, MADV_PAGEOUT)
    touch(0x40000000, 64K, READ)
    madvise(0x40010000, 64K, MADV_PAGEOUT)
    dump(0x40000000, 128K, "in the same cluster, or in the next")
"#;

/// It shows which slots follow freed ones.
pub(super) const CACHED_SLOTS: &str = r#"
    swapon(6M)
    mmap(0x40000000, 5M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
    memset(0x40000000, 7, 5M)
    madvise(0x40000000, 4K, MADV_PAGEOUT)
    touch(0x40000000, 4K, READ)
    madvise(0x40001000, 4K, MADV_PAGEOUT)
    dump(0x40000000, 8K, "the same slot again, in a fresh cluster, or the next")
    madvise(0x40002000, 4084K, MADV_PAGEOUT)
    touch(0x40005000, 4K, READ)
    madvise(0x40400000, 4K, MADV_PAGEOUT)
    dump(0x40400000, 4K, "the slot that was freed, or one that was taken ahead")
"#;

/// It shows which of two devices a page goes to.
pub(super) const TWO_DEVICES: &str = r#"
    swapon(8K)
    swapon(1M)
    mmap(0x40000000, 12K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
    memset(0x40000000, 7, 8K)
    madvise(0x40000000, 8K, MADV_PAGEOUT)
    madvise(0x40000000, 8K, MADV_DONTNEED)
    memset(0x40002000, 7, 4K)
    madvise(0x40002000, 4K, MADV_PAGEOUT)
    dump(0x40000000, 12K, "on the first device, or on the second")
"#;

/// It shows whether the last page of a slot is exclusive.
pub(super) const LAST_ENTRY: &str = r#"
    swapon(1M)
    mmap(0x40000000, 8K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
    memset(0x40000000, 7, 4K)
    madvise(0x40000000, 4K, MADV_PAGEOUT)
    fork()
    [pid 2] exit_group(0)
    touch(0x40000000, 4K, READ)
    mprotect(0x40000000, 8K, PROT_READ)
    mprotect(0x40000000, 8K, PROT_READ|PROT_WRITE)
    dump(0x40000000, 8K, "in again")
"#;
