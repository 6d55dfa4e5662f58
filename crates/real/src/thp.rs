//! Which sizes of huge pages the running kernel's settings allow (`/sys/kernel/mm/transparent_hugepage`).

use crate::shape::{PAGE, PMD_SIZE, TABLE_SHIFT};
use ptelab_uapi::{ThpKey, ThpMode};
use std::fs;

const DIR: &str = "/sys/kernel/mm/transparent_hugepage";

/// The word in brackets in an `enabled` file: `always inherit madvise [never]`.
pub(crate) fn chosen(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word)
}

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    chosen(&text).map(str::to_owned)
}

fn size_file(bytes: u64) -> String {
    format!("{DIR}/hugepages-{}kB/enabled", bytes >> 10)
}

/// Whether memory that was told `MADV_HUGEPAGE` may get folios of this many bytes. Files that cannot be read allow nothing.
fn allowed(bytes: u64) -> bool {
    let mode = read(&size_file(bytes));
    let mode = if mode.as_deref() == Some("inherit") { read(&format!("{DIR}/enabled")) } else { mode };
    matches!(mode.as_deref(), Some("always" | "madvise"))
}

/// The settings as they are: the switch that sizes may follow, then every size that there is, the smallest first.
pub fn settings() -> impl DoubleEndedIterator<Item = (ThpKey, ThpMode)> {
    let size = |entry: fs::DirEntry| ThpKey::parse(entry.file_name().to_str()?.strip_prefix("hugepages-")?);
    let mut sizes: Vec<ThpKey> = fs::read_dir(DIR).into_iter().flatten().flatten().filter_map(size).collect();
    sizes.sort_by_key(|&key| if let ThpKey::Kb(kb) = key { kb } else { 0 });
    let mode = |key: ThpKey| Some((key, ThpMode::from_name(&read(&format!("{DIR}/{}", key.file()))?)?));
    [ThpKey::Enabled].into_iter().chain(sizes).filter_map(mode)
}

/// Folio sizes above 4 KiB that Linux knows for anonymous memory with 4K pages, largest first, in bytes.
pub fn sizes() -> impl Iterator<Item = u64> {
    (1..=TABLE_SHIFT).rev().map(|order| PAGE << order)
}

/// Whether a fault in advised memory gets a folio of exactly this many bytes, where memory has one and no huge leaf fits;
/// otherwise which file stands in the way, and what to write there.
///
/// # Errors
/// That file, and what to write.
pub fn gives(bytes: u64) -> Result<(), String> {
    if let Some(larger) = sizes().find(|&size| size > bytes && size < PMD_SIZE && allowed(size)) {
        return Err(format!("folios of {}K come first: echo never > {}", larger >> 10, size_file(larger)));
    }
    if allowed(bytes) {
        return Ok(());
    }
    Err(format!("folios of {}K are switched off: echo madvise > {}", bytes >> 10, size_file(bytes)))
}

/// Folios of this many bytes that anonymous faults got since boot; `None` where the kernel does not say.
pub fn allocations(bytes: u64) -> Option<u64> {
    let path = format!("{DIR}/hugepages-{}kB/stats/anon_fault_alloc", bytes >> 10);
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// How often since boot an anonymous fault found no folio of the size it wanted.
pub fn fallbacks() -> u64 {
    let stats = sizes().map(|bytes| format!("{DIR}/hugepages-{}kB/stats/anon_fault_fallback", bytes >> 10));
    stats.filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_word_is_in_brackets() {
        assert_eq!(chosen("always inherit [madvise] never\n"), Some("madvise"));
        assert_eq!(chosen("always madvise never"), None);
    }
}
