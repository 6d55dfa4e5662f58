//! How one kernel differs from another: the first call or entry that does.

use super::finding::Said;
use crate::golden::{Golden, GoldenCall, GoldenDump, GoldenEntry};
use ptelab_machine::{Backend, Level, Pte, Shape};
use std::collections::BTreeSet;

/// What differs first, and what tells that difference from others.
pub(super) fn differing(base: &Golden, patched: &Golden, port: &dyn Backend) -> Option<Said> {
    let mut calls = base.calls.iter().zip(&patched.calls);
    if let Some((a, b)) = calls.find(|(a, b)| a != b) {
        let (was, is) = (result(a), result(b));
        let name = name_of(&a.call);
        return Some(Said {
            cause: format!("{name}: {}", outcomes(a, b)),
            text: format!("{}: {was}; now {is}", a.call),
        });
    }
    let (a, b) = base.dumps.iter().zip(&patched.dumps).find(|(a, b)| a != b)?;
    let after = call_before(base, &a.name);
    let Said { cause, text } = differing_dump(a, b, port);
    Some(Said { cause: format!("{}: {cause}", name_of(&after)), text: format!("after {after}: {text}") })
}

fn result(call: &GoldenCall) -> String {
    let failed = call.errno.clone().or_else(|| call.signal.clone());
    failed.or_else(|| call.ret.clone()).unwrap_or_default()
}

/// How a call ended on both kernels, whatever it returned.
fn outcomes(was: &GoldenCall, is: &GoldenCall) -> String {
    fn failed(call: &GoldenCall) -> Option<&str> {
        call.errno.as_deref().or(call.signal.as_deref())
    }
    match (failed(was), failed(is)) {
        (None, None) => "returns another value".to_owned(),
        (None, Some(is)) => format!("succeeded, now {is}"),
        (Some(was), None) => format!("{was}, now succeeds"),
        (Some(was), Some(is)) => format!("{was}, now {is}"),
    }
}

/// `[pid 2] mremap(...)` is an mremap.
fn name_of(call: &str) -> &str {
    call.split('(').next().unwrap_or_default().rsplit(' ').next().unwrap_or_default()
}

/// The call before a dump.
fn call_before(golden: &Golden, dump: &str) -> String {
    let name = format!("\"{dump}\")");
    let at = golden.scenario.iter().position(|line| line.contains("dump(") && line.contains(&name));
    let before = golden.scenario[..at.unwrap_or(0)].iter().rev();
    before.map(|line| line.trim()).find(|line| !line.contains("dump(")).unwrap_or_default().to_owned()
}

fn differing_dump(a: &GoldenDump, b: &GoldenDump, port: &dyn Backend) -> Said {
    let singles = |run| singles(run, &port.about().shape);
    let [was, is] = [a, b].map(|dump| dump.entries.iter().flat_map(singles).collect::<Vec<_>>());
    if let Some((was, is)) = was.iter().zip(&is).find(|(was, is)| was != is) {
        return differing_entry(a.pid, was, is, port);
    }
    if a.vmas != b.vmas {
        let only = |these: &GoldenDump, those: &GoldenDump| {
            let first = these.vmas.iter().find(|vma| !those.vmas.contains(vma));
            first.map_or_else(|| "none".to_owned(), ToString::to_string)
        };
        return Said {
            cause: "leaves different VMAs".to_owned(),
            text: format!("VMA {}; now {}", only(a, b), only(b, a)),
        };
    }
    let text = format!("process {}: {} entries; now {}", a.pid, was.len(), is.len());
    Said { cause: "leaves another number of entries".to_owned(), text }
}

fn differing_entry(pid: u32, was: &GoldenEntry, is: &GoldenEntry, port: &dyn Backend) -> Said {
    let names = |entry: &GoldenEntry| describe(entry, port);
    let sets = [names(was), names(is)]
        .map(|names| names.split(['|', ' ']).map(str::to_owned).collect::<BTreeSet<_>>());
    let list = |sign: &str, from: &BTreeSet<String>, to: &BTreeSet<String>| -> String {
        from.difference(to).flat_map(|name| [" ", sign, name]).collect()
    };
    let bits = list("+", &sets[1], &sets[0]) + &list("-", &sets[0], &sets[1]);
    let pages =
        if (was.folio_pages, was.offset) == (is.folio_pages, is.offset) { "" } else { " other folio" };
    let counts = if was.mapcount == is.mapcount { "" } else { " map count" };
    let side = |entry: &GoldenEntry| {
        let page = entry.folio_pages.map_or_else(String::new, |pages| {
            let (at, mapped) = (entry.offset.unwrap_or(0), entry.mapcount.unwrap_or(0));
            format!(", page {at} of a folio of {pages}, mapped {mapped}")
        });
        format!("{} {}{page}", entry.bits, names(entry))
    };
    let cause = format!("{bits}{pages}{counts}");
    let cause = if cause.is_empty() { "other entries".to_owned() } else { cause.trim().to_owned() };
    Said { cause, text: format!("entry {} of process {pid}: {}; now {}", was.va, side(was), side(is)) }
}

fn describe(entry: &GoldenEntry, port: &dyn Backend) -> String {
    let bits = u64::from_str_radix(entry.bits.trim_start_matches("0x"), 16).unwrap_or(0);
    if bits == 0 { "empty".to_owned() } else { port.words().describe(Pte(bits), level_of(entry)) }
}

fn level_of(entry: &GoldenEntry) -> Level {
    [Level::Pte, Level::Pmd, Level::Pud, Level::Pgd][usize::from(entry.level.min(3))]
}

/// The entries of a run, one by one.
fn singles<'a>(run: &'a GoldenEntry, shape: &Shape) -> impl Iterator<Item = GoldenEntry> + use<'a> {
    let first = u64::from_str_radix(run.va.trim_start_matches("0x"), 16).unwrap_or(0);
    let level = level_of(run);
    let (bytes, pages) = (shape.entry_size(level), shape.pages_per_entry(level));
    (0..run.n).map(move |i| GoldenEntry {
        va: format!("{:#x}", first + i * bytes),
        n: 1,
        offset: run.offset.map(|offset| offset + (i * pages) as u32),
        ..run.clone()
    })
}
