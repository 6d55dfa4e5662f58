//! What /proc shows of entries: pagemap bits, folios, map counts. Neither words nor levels, nor who is exclusive.

use super::recording::RealDump;
use ptelab_machine::{Difference, Level, PageRun, Pagemap, Run, Runs, Snapshot, VirtAddr};
use ptelab_real::{Frame, RealPage};
use ptelab_run::compare::same_raw;
use std::collections::HashMap;

/// Where the two differ, for people.
pub(super) fn differences(snapshot: &Snapshot, real: &RealDump) -> Vec<String> {
    // Who may not read frame numbers sees none anywhere.
    let frames =
        if real.pages.iter().any(|page| page.frame.is_some()) { Frames::Seen } else { Frames::Hidden };
    let got = of_snapshot(snapshot, frames);
    let wanted = of_kernel(snapshot, real);
    got.differences(&wanted, same_raw).iter().map(describe).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frames {
    Seen,
    Hidden,
}

/// A run of page entries. Where something is mapped, its word is 1, so that it counts as something.
fn run(addr: VirtAddr, n: u64, pagemap: Pagemap, page: Option<PageRun>) -> Run {
    let bits = u64::from(pagemap.intersects(Pagemap::PRESENT | Pagemap::SWAP));
    Run { addr, level: Level::Pte, n, bits, pfn_mask: 0, pagemap: Some(pagemap), page, view: None }
}

fn of_snapshot(snapshot: &Snapshot, frames: Frames) -> Runs {
    let mut runs = snapshot.runs.emptied();
    for entry in &snapshot.runs {
        let pages = snapshot.runs.shape.pages_per_entry(entry.level);
        let pagemap = entry.pagemap.unwrap_or_default();
        let page = entry.page.filter(|_| frames == Frames::Seen);
        let page = page.map(|page| PageRun { exclusive: None, repeats: page.repeats && pages == 1, ..page });
        // Huge leaves that repeat one folio are as many runs.
        let repeats = entry.page.is_some_and(|page| page.repeats) && pages > 1;
        let (parts, n) = if repeats { (entry.n, pages) } else { (1, entry.n * pages) };
        for part in 0..parts {
            let addr = entry.addr.add(part * n * snapshot.page_size);
            runs.push(run(addr, n, pagemap, page), snapshot.end);
        }
    }
    runs
}

fn of_kernel(snapshot: &Snapshot, real: &RealDump) -> Runs {
    let mut runs = snapshot.runs.emptied();
    let mut folios = HashMap::new();
    for (i, RealPage { pagemap, frame }) in real.pages.iter().enumerate() {
        let next = folios.len() as u32;
        let page = frame.map(|Frame { pfn, head, folio_pages, mapcount }| PageRun {
            folio: *folios.entry(head).or_insert(next),
            folio_pages,
            offset: (pfn - head) as u32,
            repeats: false,
            mapcount,
            exclusive: None,
        });
        let addr = VirtAddr::new(real.start).add(i as u64 * snapshot.page_size);
        runs.push(run(addr, 1, Pagemap::from_bits_retain(*pagemap), page), snapshot.end);
    }
    runs
}

fn describe(d: &Difference) -> String {
    format!("{}..{}: {}; the kernel {}", d.start, d.end, side(d.left.as_ref()), side(d.right.as_ref()))
}

fn side(run: Option<&Run>) -> String {
    let Some(run) = run.filter(|run| !run.is_none()) else { return "empty".to_owned() };
    let page = run.page.map_or(String::new(), |page| {
        format!(" folio {} of {} at {}, mapped {}", page.folio, page.folio_pages, page.offset, page.mapcount)
    });
    format!("pagemap {:#05x}{page}", run.pagemap.unwrap_or_default().bits())
}
