//! Laws that hold in every port, under every kernel's rules and with each CPU feature on and off.
//!
//! A port says what is its own in [`PortFacts`]; one line of [`port_laws!`](crate::port_laws) in its tests runs all laws
//! on it, one test a law. [`score`] runs them without a test harness. A law that does not hold says which operation
//! made which word of which other one, in the neutral view, and what it should have made; and it names a scenario whose
//! dumps show such entries.
//!
//! Expectations are worked out on neutral views, from tables of what each operation adds and takes; never with the helpers
//! of the port that is judged.

mod board;
mod flushes;
mod huge;
pub mod race;
mod tables;
mod trial;
mod words;

use crate::{CpuConfig, KernelRules};
use std::sync::atomic::{AtomicBool, Ordering};
pub(crate) use trial::Trial;
pub use trial::{Broken, Failure, PortFacts, Setting};

/// One law.
pub struct Law<P> {
    /// Its number, which it keeps: `L07`.
    pub id: &'static str,
    /// What holds, in a sentence without a verb too many.
    pub name: &'static str,
    /// A scenario whose dumps show entries that it is about.
    pub scenario: &'static str,
    check: fn(&mut Trial<'_, P>) -> Result<(), Broken>,
}

/// One line of a score card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// The law.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Cases looked at, over all settings, up to the first that failed.
    pub cases: u64,
    /// What broke it, if anything did.
    pub failure: Option<Failure>,
}

macro_rules! laws {
    ($($id:ident $scenario:ident $module:ident::$law:ident, $name:literal;)*) => {
        /// Every law, by number.
        pub fn laws<P: PortFacts>() -> Vec<Law<P>> {
            vec![$(Law { id: stringify!($id), name: $name, scenario: $scenario, check: $module::$law::<P> },)*]
        }

        /// Runs every law on a port in its crate's tests: one test a law, named by its number.
        ///
        /// `port_laws!(Arm64);`
        #[macro_export]
        macro_rules! port_laws {
            ($port:ty) => {
                $(
                    #[test]
                    #[allow(non_snake_case, reason = "laws are named by their numbers")]
                    fn $id() {
                        if let Some(failure) = $crate::laws::score_of::<$port>(stringify!($id)).failure {
                            panic!("{failure}");
                        }
                    }
                )*
            };
        }
    };
}

laws! {
    L01 PROTECTIONS words::decode_undoes_encode, "decode undoes encode";
    L02 PROTECTIONS words::what_does_not_fit_has_no_word, "frames and levels that do not fit have no word";
    L03 PROTECTIONS words::tables_are_told_from_leaves, "empty entries and tables are told from leaves";
    L04 GUARDS words::software_entries_round_trip, "software entries round trip";
    L05 PROTECTIONS words::predicates_say_what_the_view_says, "predicates say what the view says";
    L06 PROTECTIONS words::helpers_change_what_they_name, "helpers change what they name and nothing else";
    L07 PROTECTIONS words::modify_keeps_the_rest, "pte_modify takes permissions from the protection and keeps the rest";
    L08 BLOCKS words::advancing_changes_the_frame_only, "advancing changes the frame only";
    L09 HUGE words::invalid_huge_pages, "invalid huge pages are present to Linux alone";
    L10 HUGE words::huge_pages_are_made_of_small_ones, "huge pages are made of small ones";
    L11 PROTECTIONS words::the_walker_honours_permissions, "the walker honours permissions";
    L12 BLOCKS words::masks_are_given_up_for_a_reason, "batch masks are given up for a reason only";
    L13 BLOCKS words::batches_are_found_by_mask, "batch masks even out what batches ignore";
    L14 PROTECTIONS words::software_dirty_is_hardware_dirty, "a writable entry is dirty to hardware where it is dirty to Linux";
    L15 BLOCKS tables::ptep_get_gathers, "ptep_get gathers accessed and dirty of the block";
    L16 BLOCKS tables::get_and_clear, "get_and_clear_ptes takes nr entries and loses no accessed, dirty or soft-dirty";
    L17 BLOCKS tables::modify_prot, "a batched protection change is one of each entry, and loses nothing";
    L18 FORKS tables::wrprotect, "wrprotect_ptes takes the write permission of nr entries and nothing else";
    L19 FREES tables::clear_young_dirty, "clear_young_dirty_ptes clears what it is told, in no other block";
    L20 FREES tables::test_and_clear_young, "ptep_test_and_clear_young tells and clears accessed only";
    L21 FORKS tables::set_access_flags, "ptep_set_access_flags adds what the entry has more";
    L22 FORKS tables::second_walker, "after ptep_set_access_flags a walker that sets no flags makes progress";
    L23 BLOCKS tables::set_ptes, "set_ptes writes nr entries of consecutive frames and no other";
    L24 BLOCKS tables::single_is_batched, "batched operations do what single ones do, entry by entry";
    L25 BLOCKS tables::contiguous_blocks_are_legal, "contiguous blocks are whole, aligned, valid, alike and within a folio";
    L26 BLOCKS tables::batch_hints, "pte_batch_hint promises only entries that continue, up to its block's end";
    L27 BLOCKS flushes::break_before_make, "a live entry changes its frame or size by way of an empty one and a flush";
    L28 PROTECTIONS flushes::less_is_flushed, "pte_needs_flush and huge_pmd_needs_flush say so wherever an entry allows less, or forgets a write";
    L29 HUGE flushes::flushes_cover_the_range, "flushes reach every page they are asked for, at its level";
    L30 FORKS flushes::clear_flush, "ptep_clear_flush flushes what hardware may have cached";
    L31 HUGE huge::huge_operations, "operations on huge leaves change what they name and lose nothing";
    L32 PROTECTIONS words::mappings_get_their_protection, "vm_get_page_prot lets shared writable mappings alone write at once";
    L33 PROTECTIONS tables::tables_reach_all_addresses, "user addresses end where the tables do, or before";
}

/// Runs one law on a port, over all settings.
///
/// # Panics
/// Where there is no such law.
pub fn score_of<P: PortFacts>(id: &str) -> Score {
    let law = laws::<P>().into_iter().find(|law| law.id == id).expect("laws are asked for by their numbers");
    let never = AtomicBool::new(false);
    score_law(&law, &Setting::all::<P>(), &P::new, &never).expect("nobody stops it")
}

/// Runs every law on a port as `build` makes it, in these settings; those that were done where it was stopped.
pub fn score<P: PortFacts>(
    settings: &[Setting],
    build: &dyn Fn(&CpuConfig, &'static KernelRules) -> P,
    stop: &AtomicBool,
) -> Vec<Score> {
    laws::<P>().iter().map_while(|law| score_law(law, settings, build, stop)).collect()
}

/// Runs one law, up to the first case that breaks it; nothing where it was stopped.
pub fn score_law<P: PortFacts>(
    law: &Law<P>,
    settings: &[Setting],
    build: &dyn Fn(&CpuConfig, &'static KernelRules) -> P,
    stop: &AtomicBool,
) -> Option<Score> {
    let mut score = Score { id: law.id, name: law.name, cases: 0, failure: None };
    for on in settings {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let port = build(on.cpu(), on.rules);
        let mut trial = Trial { port: &port, on, cases: 0 };
        let held = (law.check)(&mut trial);
        score.cases += trial.cases;
        if let Err(broken) = held {
            let setting = on.to_string();
            let Law { id, name, scenario, .. } = *law;
            score.failure = Some(Failure { id, name, port: P::NAME, setting, broken, scenario });
            break;
        }
    }
    Some(score)
}

const PROTECTIONS: &str = r#"mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
memset(0x40000000, 7, 32K)
touch(0x40008000, 32K, READ)
mprotect(0x40000000, 64K, PROT_NONE)
dump(0x40000000, 64K, "none")
mprotect(0x40000000, 64K, PROT_READ|PROT_EXEC)
mprotect(0x40000000, 64K, PROT_READ|PROT_WRITE)
dump(0x40000000, 64K, "writable again")
"#;

const GUARDS: &str = r#"mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
madvise(0x40004000, 16K, MADV_GUARD_INSTALL)
dump(0x40000000, 64K, "guards")
"#;

const BLOCKS: &str = r#"thp("64kB", "always")
mmap(0x40000000, 128K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
memset(0x40000000, 7, 128K)
mprotect(0x40005000, 48K, PROT_READ)
dump(0x40000000, 128K, "a part")
mprotect(0x40000000, 128K, PROT_READ)
mprotect(0x40000000, 128K, PROT_READ|PROT_WRITE)
dump(0x40000000, 128K, "whole")
"#;

const FORKS: &str = r#"thp("64kB", "always")
mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
memset(0x40000000, 7, 64K)
fork() = 2
dump(0x40000000, 64K, "shared")
memset(0x40003000, 8, 4K)
dump(0x40000000, 64K, "copied")
[pid 2] check(0x40003000, 7)
"#;

const FREES: &str = r#"thp("64kB", "always")
mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
memset(0x40000000, 7, 64K)
madvise(0x40000000, 64K, MADV_FREE)
clear_refs(1)
dump(0x40000000, 64K, "old and clean")
touch(0x40003000, 4K, WRITE)
dump(0x40000000, 64K, "one written")
"#;

const HUGE: &str = r#"thp("2048kB", "always")
mmap(0x40000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
memset(0x40000000, 7, 2M)
mprotect(0x40000000, 2M, PROT_READ)
dump(0x40000000, 2M, "huge")
mprotect(0x40000000, 2M, PROT_READ|PROT_WRITE)
mprotect(0x40000000, 4K, PROT_READ)
dump(0x40000000, 2M, "split")
"#;
