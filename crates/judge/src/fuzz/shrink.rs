//! The shortest program that still breaks the same check.

use super::case::{Found, Planned};
use super::coverage::Coverage;
use super::program::BASE;
use ptelab_scenario::Line;

/// Makes a program that broke a check as short and plain as it gets: fewer lines first, then smaller arguments.
pub fn shrink(plan: &dyn Planned, found: Found) -> Found {
    let mut best = found;
    loop {
        let size = cost(plan, &best.lines);
        without_lines(plan, &mut best);
        with_smaller_arguments(plan, &mut best);
        if cost(plan, &best.lines) >= size {
            return best;
        }
    }
}

/// Lines first, then what they reach over, then how odd their arguments are.
fn cost(plan: &dyn Planned, lines: &[Line]) -> (usize, u64, u64) {
    let page = plan.page_size();
    let reach = lines
        .iter()
        .map(|line| line.call.range().map_or(0, |(addr, len)| len + (addr - BASE.min(addr)) / 64));
    let odd = lines.iter().map(|line| line.call.range().map_or(0, |(addr, len)| addr % page + len % page));
    (lines.len(), reach.sum(), odd.sum())
}

/// Tries other lines; keeps them where they break the same check.
fn try_lines(plan: &dyn Planned, best: &mut Found, lines: &[Line]) -> bool {
    let Err(found) = plan.run(best.case, lines, &mut Coverage::default()) else { return false };
    if found.violation.check != best.violation.check || cost(plan, &found.lines) >= cost(plan, &best.lines) {
        return false;
    }
    *best = found;
    true
}

fn without_lines(plan: &dyn Planned, best: &mut Found) {
    let mut chunk = best.lines.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < best.lines.len() {
            let mut lines = best.lines.clone();
            lines.drain(at..(at + chunk).min(lines.len()));
            if !try_lines(plan, best, &lines) {
                at += chunk;
            }
        }
        chunk /= 2;
    }
}

fn with_smaller_arguments(plan: &dyn Planned, best: &mut Found) {
    let page_size = plan.page_size();
    let mut i = 0;
    while i < best.lines.len() {
        while let Some((addr, len)) = best.lines.get(i).and_then(|line| line.call.range()) {
            let page = addr / page_size * page_size;
            let whole = len.div_ceil(page_size) * page_size;
            let smaller = [
                (page, whole),
                (addr, page_size),
                (addr, 16 * page_size),
                (addr, len / 2 / page_size * page_size),
                (addr, len.saturating_sub(page_size)),
                (addr + page_size, len.saturating_sub(page_size)),
                (BASE, len),
            ];
            let fits = |&(to, size): &(u64, u64)| {
                (size > 0 || len == 0) && (to, size) != (addr, len) && size <= whole
            };
            let shorter = smaller.into_iter().filter(fits).any(|range| {
                let mut lines = best.lines.clone();
                lines[i].call = lines[i].call.with_range(range);
                try_lines(plan, best, &lines)
            });
            if !shorter {
                break;
            }
        }
        i += 1;
    }
}
