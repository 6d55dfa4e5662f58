//! Pages and tables of the running kernels that are asked: pages of 4K, and tables of one page. Images may have others.

/// Log2 of the bytes in a page.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a page.
pub const PAGE: u64 = 1 << PAGE_SHIFT;
/// Log2 of the entries in a table.
pub const TABLE_SHIFT: u32 = PAGE_SHIFT - 3;
/// Entries in a table, and pages of the largest folio.
pub const ENTRIES: u64 = 1 << TABLE_SHIFT;
/// Bytes that a huge leaf maps.
pub const PMD_SIZE: u64 = PAGE << TABLE_SHIFT;
