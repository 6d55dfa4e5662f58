//! Every golden file, word for word; and the judge itself: a spoiled file must be found to differ.

use libtest_mimic::{Failed, Trial};
use ptelab::Golden;
use ptelab::golden::{GoldenCall, GoldenEntry};
use ptelab_testkit::{fixtures, stem};
use std::path::Path;

pub(crate) fn trials() -> Vec<Trial> {
    let mut files = fixtures("golden", "json");
    assert!(files.len() > 200, "golden files are missing: {}", files.len());
    files.extend(fixtures("golden-ports", "json"));
    let mut trials: Vec<Trial> = files
        .into_iter()
        .map(|path| Trial::test(format!("golden::{}", name(&path)), move || equal(&path)))
        .collect();
    trials.extend(
        SPOILS.iter().map(|(what, spoil)| Trial::test(format!("judge::{what}"), move || differs(*spoil))),
    );
    trials
}

fn name(path: &Path) -> String {
    stem(path)
}

fn read(path: &Path) -> Result<Golden, Failed> {
    Ok(Golden::parse(&std::fs::read(path)?)?)
}

fn equal(path: &Path) -> Result<(), Failed> {
    let verdict = read(path)?.verify(&path.display().to_string())?;
    if verdict.is_equal() { Ok(()) } else { Err(verdict.differences.join("\n").into()) }
}

/// Something done to a golden file that makes it untrue.
type Spoil = fn(&mut Golden);

const SPOILS: &[(&str, Spoil)] = &[
    ("a_bit_of_a_word", |g| {
        let entry = mapped(g);
        let word = u64::from_str_radix(&entry.bits[2..], 16).unwrap_or(0);
        entry.bits = format!("{:#018x}", word ^ (1 << 55));
    }),
    ("a_map_count", |g| mapped(g).mapcount = Some(7)),
    ("a_place_in_a_folio", |g| mapped(g).offset = Some(1)),
    ("a_folio_size", |g| mapped(g).folio_pages = Some(32)),
    ("a_pagemap_bit", |g| mapped(g).pagemap = Some("0x800".to_owned())),
    ("an_entry_too_few", |g| {
        mapped(g).n -= 1;
    }),
    ("a_vma_flag", |g| g.dumps[0].vmas[0].vmflags.push_str(" nr")),
    ("a_vma_too_few", |g| {
        g.dumps[0].vmas.pop();
    }),
    ("a_resident_size", |g| g.dumps[0].vmas[0].rss_kb += 4),
    ("a_result", |g| {
        let call = g.calls.last_mut().expect("it has calls");
        *call = GoldenCall { ret: None, errno: Some("EACCES".to_owned()), ..call.clone() };
    }),
    ("a_call_too_few", |g| {
        g.calls.pop();
    }),
    ("an_entry_further_on", |g| mapped(g).va = "0x40002000".into()),
    ("an_entry_inside_a_page", |g| mapped(g).va.replace_range(9.., "8")),
    ("entries_one_over_the_other", |g| mapped(g).n += 4),
    ("the_start_of_a_dump", |g| g.dumps[0].start = "0x40001000".into()),
    ("the_length_of_a_dump", |g| g.dumps[0].len -= 4096),
    ("the_text_of_a_call", |g| g.calls[1].call = "munmap(0x1000, 4K)".into()),
    ("who_makes_a_call", |g| g.calls[1].call.insert_str(0, "[pid 2] ")),
    ("a_dump_too_few", |g| {
        g.dumps.pop();
    }),
];

/// The first entry that maps a page.
fn mapped(golden: &mut Golden) -> &mut GoldenEntry {
    let entries = golden.dumps.iter_mut().flat_map(|dump| &mut dump.entries);
    entries.into_iter().find(|entry| entry.folio.is_some()).expect("it maps something")
}

fn differs(spoil: Spoil) -> Result<(), Failed> {
    for name in ["c-mthp64-ro-rw.arm64.7.3", "c-mthp64-ro-rw.x86_64.6.16"] {
        let path = ptelab_testkit::root().join("fixtures/golden").join(format!("{name}.json"));
        let mut golden = read(&path)?;
        spoil(&mut golden);
        // What cannot be so is refused.
        if golden.verify(name).is_ok_and(|verdict| verdict.is_equal()) {
            return Err(format!("{name} was spoiled and found equal").into());
        }
    }
    Ok(())
}
