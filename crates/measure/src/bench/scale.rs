//! What grows with the size of a mapping, and what does not: 4K pages from a megabyte to a terabyte.

use super::layout::{Calls, Layout, PAGE};
use super::sample::Skip;
use super::subject::Emulated;
use ptelab_machine::Builder;
use ptelab_real::facts;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// One size.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct ScaleRow {
    /// Bytes mapped and written.
    pub size: u64,
    /// Page entries in them.
    pub entries: u64,
    /// Nanoseconds that the first write to a page takes.
    pub fill_ns_per_entry: f64,
    /// Nanoseconds an entry that one mprotect takes.
    pub mprotect_ns_per_entry: f64,
    /// Nanoseconds an entry that a dump takes.
    pub dump_ns_per_entry: f64,
    /// Memory of the host that the machine takes a page, in bytes; `None` where the host does not say.
    pub bytes_per_page: Option<f64>,
}

/// Bytes between two looks at the stop flag.
const CHUNK: u64 = 1 << 30;
/// Entries that are changed at least, over several calls if need be.
const MIN_ENTRIES: u64 = 1 << 20;

/// The sizes up to `max`: from 1M on, each sixteen times the one before, and `max` itself.
pub fn sizes(max: u64) -> Vec<u64> {
    let mut sizes: Vec<u64> =
        (20..64).step_by(4).map(|shift| 1 << shift).take_while(|&size| size < max).collect();
    sizes.push(max);
    sizes
}

/// Maps, writes, protects and dumps `size` bytes of 4K pages on a machine. `None` where `stop` was set.
///
/// # Errors
/// Where the machine cannot be built, or the host lacks memory for it.
pub fn scale(
    builder: &Builder,
    size: u64,
    stop: &AtomicBool,
    tick: &dyn Fn(),
) -> Result<Option<ScaleRow>, Skip> {
    let layout = Layout::by_name("t3").ok_or_else(|| Skip("no layout of 4K pages".to_owned()))?;
    let entries = size / PAGE;
    let before = facts::resident();
    let mut machine = Emulated::new(builder.clone(), size)?;
    machine.map(size, layout.folio())?;
    let begin = Instant::now();
    for at in (0..size).step_by(CHUNK as usize) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        machine.write(at, CHUNK.min(size - at))?;
        tick();
    }
    let fill = nanos(begin);
    let bytes =
        before.zip(facts::resident()).map(|(before, after)| per(after.saturating_sub(before), entries));
    machine.toggle(size)?;
    let repeats = (MIN_ENTRIES / entries).max(1);
    let begin = Instant::now();
    for _ in 0..repeats {
        machine.toggle(size)?;
    }
    let mprotect = nanos(begin);
    let begin = Instant::now();
    let snapshot = machine.dump(size)?;
    let dump = nanos(begin);
    if snapshot.vmas.is_empty() {
        return Err(Skip("the dump shows nothing".to_owned()));
    }
    Ok(Some(ScaleRow {
        size,
        entries,
        fill_ns_per_entry: per(fill, entries),
        mprotect_ns_per_entry: per(mprotect, 2 * repeats * entries),
        dump_ns_per_entry: per(dump, entries),
        bytes_per_page: bytes,
    }))
}

fn nanos(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "shown with two places")]
fn per(sum: u64, n: u64) -> f64 {
    sum as f64 / n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_end_with_the_largest() {
        assert_eq!(sizes(1 << 20), [1 << 20]);
        assert_eq!(sizes(1 << 30), [1 << 20, 1 << 24, 1 << 28, 1 << 30]);
    }

    #[test]
    fn a_small_machine_is_measured_and_a_stopped_one_is_not() {
        let builder = Builder::new("arm64");
        let stop = AtomicBool::new(false);
        let row = scale(&builder, 4 << 20, &stop, &|| ()).unwrap().unwrap();
        assert_eq!(row.entries, 1024);
        assert!(row.mprotect_ns_per_entry > 0.0);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(scale(&builder, 4 << 20, &stop, &|| ()), Ok(None));
    }
}
