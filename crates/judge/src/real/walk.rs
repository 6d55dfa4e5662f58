//! Walking the page tables of a real kernel as its port reads words.

use ptelab_machine::{Backend, Level, Pte, PteView};
use ptelab_real::{RealPage, Root};

/// A word that points to no further table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableWord {
    /// First address that it maps.
    pub(super) addr: u64,
    pub(super) level: Level,
    pub(super) word: u64,
}

/// The words that map a range, in order; nothing where one of them stands in no memory. `read` gives the word at a physical address.
pub(super) fn walk(
    port: &dyn Backend,
    root: Root,
    (start, end): (u64, u64),
    read: impl Fn(u64) -> Option<u64>,
) -> Option<Vec<TableWord>> {
    let shape = port.about().shape;
    let mut words = Vec::new();
    let mut addr = start;
    while addr < end {
        let mut table = root.addr;
        for level in Level::ALL.into_iter().take(root.levels.into()).rev() {
            let shift = shape.entry_shift[level as usize];
            let index = (addr >> shift) as usize & (shape.entries(level) - 1);
            let word = read(table.checked_add((index * size_of::<Pte>()) as u64)?)?;
            if let PteView::Table(next) = port.words().decode(Pte(word), level) {
                table = next.get();
                continue;
            }
            let first = addr >> shift << shift;
            words.push(TableWord { addr: first, level, word });
            addr = first + (1 << shift);
            break;
        }
    }
    Some(words)
}

/// The physical address that a virtual one is translated to, where it is.
pub(super) fn translate(
    port: &dyn Backend,
    root: Root,
    addr: u64,
    read: &dyn Fn(u64) -> Option<u64>,
) -> Option<u64> {
    let word = *walk(port, root, (addr, addr + 1), read)?.first()?;
    let size = port.about().shape.page_size();
    frame(port, word, addr)?.checked_mul(size)?.checked_add(addr % size)
}

/// The frame that a word maps at an address, where it does. A leaf that is not aligned to its size maps nothing: such a one is seen
/// where a table that was topmost has become another's.
fn frame(port: &dyn Backend, word: TableWord, addr: u64) -> Option<u64> {
    let PteView::Present(mapping) = port.words().decode(Pte(word.word), word.level) else { return None };
    let shape = port.about().shape;
    let pages = 1 << (shape.entry_shift[word.level as usize] - shape.page_shift());
    let page = addr.checked_sub(word.addr)? >> shape.page_shift();
    let first = mapping.pfn.get();
    (page < pages && first.is_multiple_of(pages)).then(|| first + page)
}

/// Whether words map the frames that the kernel says pages from `start` on have, and none to those that have none. Where they do
/// not, they stand in another process's tables.
pub(super) fn maps(port: &dyn Backend, words: &[TableWord], start: u64, pages: &[RealPage]) -> bool {
    (start..).step_by(port.about().shape.page_size() as usize).zip(pages).all(|(addr, page)| {
        let past = words.partition_point(|word| word.addr <= addr);
        let mapped = words[..past].last().and_then(|word| frame(port, *word, addr));
        mapped == page.frame.map(|frame| frame.pfn)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ptelab_machine::Builder;

    #[test]
    fn leaves_are_found_at_every_level() {
        let port = Builder::new("arm64").build().expect("there is such a port");
        let read = |at: u64| match at {
            0x1000 => Some(0x2003),
            0x2008 => Some(0x3003),
            0x3000 => Some(0x4003),
            0x3008 => Some(0x0060_0000_8000_0f41),
            0x4ff8 => Some(0x0060_0000_0000_6f43),
            0x1001..=0x4fff => Some(0),
            _ => None,
        };
        let base = 1 << 30;
        let words =
            walk(&*port, Root { addr: 0x1000, levels: 4 }, (base + (511 << 12), base + (6 << 20)), read)
                .expect("all are there");
        let word = |addr, level, word| TableWord { addr, level, word };
        assert_eq!(
            words,
            [
                word(base + (511 << 12), Level::Pte, 0x0060_0000_0000_6f43),
                word(base + (2 << 20), Level::Pmd, 0x0060_0000_8000_0f41),
                word(base + (4 << 20), Level::Pmd, 0),
            ]
        );
        assert_eq!(walk(&*port, Root { addr: 0x8000, levels: 4 }, (base, base + 4096), read), None);
    }

    #[test]
    fn words_map_the_frames_of_pages() {
        use ptelab_real::Frame;
        let port = Builder::new("arm64").build().expect("there is such a port");
        let word = |addr, level, word| TableWord { addr, level, word };
        let huge = [word(0, Level::Pte, 0), word(2 << 20, Level::Pmd, 0x0060_0000_8000_0f41)];
        let page = |pfn| RealPage {
            pagemap: 0x810,
            frame: Some(Frame { pfn, head: pfn, folio_pages: 1, mapcount: 1 }),
        };
        let start = (2 << 20) - 4096;
        let seen = |pages: &[RealPage]| maps(&*port, &huge, start, pages);
        assert!(seen(&[RealPage::default(), page(0x80000), page(0x80001)]));
        assert!(!seen(&[RealPage::default(), page(0x80000), page(0x80002)]));
        assert!(!seen(&[page(0x80000)]));
        assert!(!seen(&[RealPage::default(), RealPage::default()]));
    }

    #[test]
    fn a_leaf_out_of_line_translates_nothing() {
        let port = Builder::new("arm64").build().expect("there is such a port");
        let huge = |addr: u64| move |_: u64| Some(0x0060_0000_0000_0f41 | addr);
        let root = Root { addr: 0x1000, levels: 2 };
        assert_eq!(translate(&*port, root, 0x123, &huge(0x8020_0000)), Some(0x8020_0123));
        assert_eq!(translate(&*port, root, 0x123, &huge(0x8020_1000)), None);
        let beyond = Root { addr: u64::MAX - 7, levels: 2 };
        assert_eq!(translate(&*port, beyond, 1 << 21, &huge(0x8020_0000)), None);
    }
}
