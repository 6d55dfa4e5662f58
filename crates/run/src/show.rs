//! States as text, for people.

use crate::report::{Dump, RunReport};
use ptelab_machine::uapi::ByteSize;
use ptelab_machine::{
    Level, PageRun, PteAttrs, PteView, Run, Snapshot, SoftFlags, SoftLeaf, VmaFacts, swp_type,
};
use std::fmt::{self, Write as _};

/// A snapshot as text: a line a VMA, then a line a run of entries.
impl fmt::Display for SnapshotText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for vma in &self.0.vmas {
            writeln!(f, "  {}", vma_line(vma))?;
        }
        for run in &self.0.runs {
            writeln!(f, "    {}", run_line(self.0, run))?;
        }
        Ok(())
    }
}

/// Shows a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotText<'a>(pub &'a Snapshot);

/// A size in the largest unit of 1024 that is exact: `64K`.
pub fn size(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

/// `1 call`, `2 calls`
pub fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A VMA in a line: `0x40000000-0x40010000 rw-p  rss 64K  rd wr mr mw me ac`.
pub fn vma_line(vma: &VmaFacts) -> String {
    let huge = if vma.anon_huge > 0 { format!(" ({} huge)", size(vma.anon_huge)) } else { String::new() };
    let swap = if vma.swap > 0 { format!("  swap {}", size(vma.swap)) } else { String::new() };
    let (start, end, perms) = (vma.start, vma.end, vma.perms());
    format!("{start}-{end} {perms}  rss {}{huge}{swap}  {}", size(vma.rss), vma.flags.smaps())
}

/// A run of entries in a line: address, entries, word, access and marks, folio.
pub fn run_line(snapshot: &Snapshot, run: &Run) -> String {
    let mut line = format!("{}  {}", run.addr, entries(snapshot, run));
    if run.is_none() {
        line.push_str("  -");
        return line;
    }
    let view = run.view.map_or_else(String::new, |view| view_text(&view));
    let _ = write!(line, "  {:016x}  {view}", run.bits);
    if let Some(page) = &run.page {
        let _ = write!(line, "  {}", page_text(run, page, snapshot.runs.shape.pages_per_entry(run.level)));
    }
    line
}

/// `  16 x 4K`
fn entries(snapshot: &Snapshot, run: &Run) -> String {
    let one = snapshot.runs.shape.pages_per_entry(run.level) * snapshot.page_size;
    let huge = if run.level == Level::Pte { "" } else { " PMD" };
    format!("{:>5} x {}{huge}", run.n, size(one))
}

/// A view in words: `rw- young dirty cont`.
pub fn view_text(view: &PteView) -> String {
    match view {
        PteView::None => "-".to_owned(),
        PteView::Table(_) => "table".to_owned(),
        PteView::Soft(leaf) => soft_text(leaf),
        PteView::Present(mapping) => {
            let mut text = access_text(mapping.attrs);
            for (attr, word) in MARKS {
                if mapping.attrs.contains(*attr) {
                    let _ = write!(text, " {word}");
                }
            }
            if mapping.pkey != 0 {
                let _ = write!(text, " pkey {}", mapping.pkey);
            }
            text
        }
    }
}

const MARKS: &[(PteAttrs, &str)] = &[
    (PteAttrs::PROTNONE, "protnone"),
    (PteAttrs::YOUNG, "young"),
    (PteAttrs::DIRTY, "dirty"),
    (PteAttrs::SOFT_DIRTY, "soft-dirty"),
    (PteAttrs::SPECIAL, "special"),
    (PteAttrs::UFFD, "uffd-wp"),
    (PteAttrs::CONT, "cont"),
];

fn access_text(attrs: PteAttrs) -> String {
    let letter = |attr, letter| if attrs.contains(attr) { letter } else { '-' };
    if attrs.contains(PteAttrs::PROTNONE) {
        return "---".to_owned();
    }
    [letter(PteAttrs::USER, 'r'), letter(PteAttrs::WRITE, 'w'), letter(PteAttrs::EXEC, 'x')].iter().collect()
}

const SOFT_MARKS: &[(SoftFlags, &str)] = &[
    (SoftFlags::EXCLUSIVE, "exclusive"),
    (SoftFlags::YOUNG, "young"),
    (SoftFlags::DIRTY, "dirty"),
    (SoftFlags::SOFT_DIRTY, "soft-dirty"),
    (SoftFlags::UFFD, "uffd-wp"),
];

fn soft_text(leaf: &SoftLeaf) -> String {
    for (marker, name) in
        [(SoftLeaf::GUARD, "guard"), (SoftLeaf::UFFD_WP, "uffd-wp"), (SoftLeaf::POISONED, "poison")]
    {
        if leaf.is_marker(marker.offset) {
            let soft_dirty = leaf.flags.contains(SoftFlags::SOFT_DIRTY);
            return format!("{name} marker{}", if soft_dirty { " soft-dirty" } else { "" });
        }
    }
    let mut text = match leaf.ty {
        swp_type::HWPOISON => "hwpoison".to_owned(),
        swp_type::MIGRATION_READ => "migration, read".to_owned(),
        swp_type::MIGRATION_READ_EXCLUSIVE => "migration, read-exclusive".to_owned(),
        swp_type::MIGRATION_WRITE => "migration, write".to_owned(),
        swp_type::DEVICE_WRITE => "device-private, write".to_owned(),
        swp_type::DEVICE_READ => "device-private, read".to_owned(),
        swp_type::DEVICE_EXCLUSIVE => "device-exclusive".to_owned(),
        swp_type::MARKER => format!("marker {:#x}", leaf.offset),
        device => format!("swap {device}, slot {}", leaf.offset),
    };
    for (flag, word) in SOFT_MARKS {
        if leaf.flags.contains(*flag) {
            let _ = write!(text, " {word}");
        }
    }
    text
}

/// `folio 3 (64K) +0 exclusive`, `folios 0..63 (4K)`
fn page_text(run: &Run, page: &PageRun, step: u64) -> String {
    let soft = matches!(run.view, Some(PteView::Soft(_)));
    if page.mapcount == 0 && page.exclusive != Some(true) && !soft {
        return "zero page".to_owned();
    }
    let pages = u64::from(page.folio_pages);
    let last = u64::from(page.folio) + (u64::from(page.offset) + (run.n - 1) * step) / pages;
    let mut text = if page.repeats || last == u64::from(page.folio) {
        format!("folio {} of {pages}, page {}", page.folio, page.offset)
    } else if page.offset == 0 {
        format!("folios {}..{last} of {pages}", page.folio)
    } else {
        format!("folios {}..{last} of {pages}, from page {}", page.folio, page.offset)
    };
    if page.mapcount != 1 && !(soft && page.mapcount == 0) {
        let _ = write!(text, ", mapped {}", page.mapcount);
    }
    if page.exclusive == Some(true) {
        text.push_str(", exclusive");
    }
    text
}

/// A dump with its heading.
pub fn dump_text(report: &RunReport, dump: &Dump) -> String {
    let Snapshot { start, end, .. } = dump.snapshot;
    let mut text = format!("dump {:?} of process {}: {start}..{end}", dump.name, dump.pid);
    let _ = write!(text, " on {}, Linux {}\n{}", report.arch, report.kernel, SnapshotText(&dump.snapshot));
    text
}

/// What failed and what was not expected, in a few lines.
pub fn summary(report: &RunReport) -> String {
    let mut text = format!("{}, Linux {}: {}", report.arch, report.kernel, counted(report.lines, "line"));
    if !report.finished {
        text.push_str(" (stopped)");
    }
    let failed: Vec<String> = report.failures.iter().map(|(name, n)| format!("{n} {name}")).collect();
    if !failed.is_empty() {
        let _ = write!(text, "; failed: {}", failed.join(", "));
    }
    text.push('\n');
    for wrong in &report.unexpected {
        let _ = writeln!(text, "  line {}: {}: got {}", wrong.line, wrong.text, wrong.outcome);
    }
    let more = report.unexpected_count - report.unexpected.len() as u64;
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}
