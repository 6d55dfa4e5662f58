//! Memory layouts that mprotect is measured on, built with the same calls on an emulated machine and on a real kernel.

use super::sample::Skip;

/// Bytes in a page of every layout, and in a huge page.
pub const LAYOUT_PAGES: [u64; 2] = [PAGE, PMD];
pub(super) const PAGE: u64 = 4 << 10;
const PMD: u64 = 2 << 20;

/// How folios are arranged and mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Every page written once, front to back.
    Full,
    /// Huge pages, each mapped by page entries: a VMA boundary was drawn through it and taken away again.
    PteMapped,
    /// Every second folio is there.
    Half,
    /// The second half of every folio is shared with a child: `AnonExclusive` differs inside each.
    Mixed,
}

/// One layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Its name, as on the command line.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Bytes in a folio.
    folio: u64,
    shape: Shape,
    /// Bytes that are mapped, where that is not for the caller to say.
    fixed: Option<u64>,
}

const fn layout(name: &'static str, doc: &'static str, folio: u64, shape: Shape) -> Layout {
    Layout { name, doc, folio, shape, fixed: None }
}

/// Every layout: the three of the 2025 series first.
pub const LAYOUTS: &[Layout] = &[
    layout("t1", "2M huge pages, mapped by page entries", PMD, Shape::PteMapped),
    layout("t2", "64K folios", 64 << 10, Shape::Full),
    layout("t3", "4K pages", PAGE, Shape::Full),
    layout("16k", "16K folios", 16 << 10, Shape::Full),
    layout("32k", "32K folios", 32 << 10, Shape::Full),
    layout("128k", "128K folios", 128 << 10, Shape::Full),
    layout("256k", "256K folios", 256 << 10, Shape::Full),
    layout("512k", "512K folios", 512 << 10, Shape::Full),
    layout("1m", "1M folios", 1 << 20, Shape::Full),
    layout("pmd", "2M huge pages, mapped by huge leaves", PMD, Shape::Full),
    layout("half", "64K folios, every second one there", 64 << 10, Shape::Half),
    layout("mixed", "64K folios, half of each shared with a child", 64 << 10, Shape::Mixed),
    Layout { fixed: Some(PAGE), ..layout("single", "one 4K page, over and over", PAGE, Shape::Full) },
];

/// What a layout is built and measured with. Offsets and lengths are in bytes.
pub(super) trait Calls {
    /// Maps `len` bytes of private anonymous memory in which faults get folios of `folio` bytes.
    fn map(&mut self, len: u64, folio: u64) -> Result<(), Skip>;
    /// Writes to every page of a part.
    fn write(&mut self, offset: u64, len: u64) -> Result<(), Skip>;
    /// `MADV_NOHUGEPAGE`: folios stay as they are.
    fn no_more_huge_pages(&mut self, len: u64) -> Result<(), Skip>;
    /// Whether a fork copies a part: `MADV_DONTFORK`, `MADV_DOFORK`.
    fn inherit(&mut self, offset: u64, len: u64, inherit: Inherit) -> Result<(), Skip>;
    /// Forks a child that shares the memory until this goes away.
    fn fork(&mut self) -> Result<(), Skip>;
    /// Makes the first `len` bytes read-only, then writable again.
    fn toggle(&mut self, len: u64) -> Result<(), Skip>;
}

/// Whether a fork copies memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inherit {
    /// The child gets it.
    Copied,
    /// The child does not.
    LeftOut,
}

impl Layout {
    /// The layout of this name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        LAYOUTS.iter().find(|layout| layout.name == name)
    }

    /// Bytes that are mapped where `size` was asked for.
    pub fn size(&self, size: u64) -> u64 {
        self.fixed.unwrap_or(size)
    }

    /// Bytes in a folio.
    pub const fn folio(&self) -> u64 {
        self.folio
    }

    /// Bytes that one entry maps.
    pub(super) fn entry_size(&self) -> u64 {
        if self.folio == PMD && self.shape == Shape::Full { PMD } else { PAGE }
    }

    /// Present entries in so many bytes.
    pub fn entries(&self, size: u64) -> u64 {
        let present = if self.shape == Shape::Half { size.div_ceil(2) } else { size };
        (present / self.entry_size()).max(1)
    }

    /// Builds the layout in `len` bytes.
    pub(super) fn build(&self, calls: &mut impl Calls, len: u64) -> Result<(), Skip> {
        calls.map(len, self.folio)?;
        match self.shape {
            Shape::Half => each(len, 2 * self.folio, |at| calls.write(at, self.folio))?,
            _ => calls.write(0, len)?,
        }
        calls.no_more_huge_pages(len)?;
        match self.shape {
            Shape::Full | Shape::Half => Ok(()),
            Shape::PteMapped => each(len, PMD, |at| {
                calls.inherit(at, PAGE, Inherit::LeftOut)?;
                calls.inherit(at, PAGE, Inherit::Copied)
            }),
            Shape::Mixed => {
                let half = self.folio / 2;
                each(len, self.folio, |at| calls.inherit(at, half, Inherit::LeftOut))?;
                calls.fork()?;
                calls.inherit(0, len, Inherit::Copied)
            }
        }
    }
}

/// Does something at every multiple of `step` below `len`.
fn each(len: u64, step: u64, mut f: impl FnMut(u64) -> Result<(), Skip>) -> Result<(), Skip> {
    (0..len / step).try_for_each(|i| f(i * step))
}
