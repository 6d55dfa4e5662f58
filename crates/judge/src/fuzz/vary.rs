//! Programs that are like another.

use super::program::Size;
use fastrand::Rng;
use ptelab_machine::{Call, Prot};
use ptelab_scenario::Line;

/// A program like one, with up to three changes; some take lines of another.
pub(crate) fn vary(lines: &[Line], other: &[Line], size: Size, rng: &mut Rng) -> Vec<Line> {
    let mut lines = lines.to_vec();
    for _ in 0..rng.usize(1..=3) {
        change(&mut lines, other, size, rng);
    }
    for (i, line) in lines.iter_mut().enumerate() {
        line.line = u32::try_from(i + 1).unwrap_or(u32::MAX);
    }
    lines
}

fn change(lines: &mut Vec<Line>, other: &[Line], size: Size, rng: &mut Rng) {
    // The first line maps the memory.
    if lines.len() < 2 {
        return lines.extend_from_slice(other);
    }
    let at = rng.usize(1..lines.len());
    match rng.u8(0..8) {
        0 => drop(lines.remove(at)),
        1 => {
            let line = lines[at].clone();
            lines.insert(rng.usize(at..=lines.len()), line);
        }
        2..=3 => move_range(&mut lines[at], size, rng),
        4 => other_protection(&mut lines[at], rng),
        5..=6 if other.len() > 1 => {
            let from = rng.usize(1..other.len());
            let some = &other[from..other.len().min(from + rng.usize(1..=4))];
            lines.splice(at..at, some.iter().cloned());
        }
        _ => {
            lines.truncate(at);
            lines.extend(other.iter().skip(1).cloned());
        }
    }
}

/// The line works on other pages near its own.
fn move_range(line: &mut Line, size: Size, rng: &mut Rng) {
    let Some((addr, _)) = line.call.range() else { return };
    let base = addr & !0xfff_ffff;
    let step = [1, size.block / 2, size.block][rng.usize(..3)];
    let at = rng.u64(..size.pages) / step * step;
    let len = [1, 4, size.block, 2 * size.block, size.pages][rng.usize(..5)].min(size.pages - at);
    line.call = line.call.with_range((base + at * size.page, len * size.page));
}

fn other_protection(line: &mut Line, rng: &mut Rng) {
    if let Call::Mprotect { prot, .. } = &mut line.call {
        *prot = [Prot::READ, Prot::READ | Prot::WRITE, Prot::empty()][rng.usize(..3)];
    }
}
