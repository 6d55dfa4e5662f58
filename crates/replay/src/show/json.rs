//! A replay as JSON.

use super::costs::DEAREST_SHOWN;
use super::not_judged;
use crate::replay::{Played, Replay};
use crate::tally::{ProcessReport, Tally};
use ptelab_machine::HISTOGRAM;
use ptelab_run::json as run_json;
use serde_json::{Map, Value, json};

/// The report as JSON: the first machine's results, then what every machine's calls took.
pub fn json(replay: &Replay, pid: Option<u32>) -> Value {
    let Some(first) = replay.machines.first() else { return Value::Null };
    let tally = &first.tally;
    let stats = &replay.stats;
    let skipped =
        tally.skipped.values().sum::<u64>() + stats.skipped.values().sum::<u64>() + stats.skipped_other;
    let shown = |process: &&ProcessReport| pid.is_none_or(|pid| process.pid == Some(pid));
    json!({
        "calls": tally.calls,
        "equal": tally.equal,
        "adopted": tally.adopted,
        "adopted_ranges": tally.adopted_ranges,
        "skipped": skipped,
        "skipped_calls": stats.skipped,
        "not_judged": tally.skipped,
        "not_judged_count": not_judged(replay, first),
        "silent": tally.silent,
        "freed_unseen": tally.freed_unseen,
        "by_rule": tally.by_rule,
        "refused": tally.refused,
        "differences": tally.differences,
        "differences_count": tally.differences_count,
        "maps": first.maps,
        "used": tally.used.word(),
        "processes": tally.processes.iter().filter(shown).collect::<Vec<_>>(),
        "mprotect_sizes": mprotect_sizes(first),
        "machines": replay.machines.iter().map(machine).collect::<Vec<_>>(),
        "lines": stats.lines,
        "mistakes": replay.mistakes,
        "unfinished": stats.unfinished_count,
        "cut": stats.cut.map(|cut| cut.line),
        "finished": replay.finished,
    })
}

fn mprotect_sizes(played: &Played) -> Vec<Value> {
    let sizes = played.tally.mprotect_sizes.iter();
    sizes.map(|(order, count)| json!({"from": 4096_u64 << order, "calls": count})).collect()
}

fn machine(played: &Played) -> Value {
    let tally = &played.tally;
    let costs: Map<String, Value> =
        tally.costs.iter().map(|(name, cost)| ((*name).to_owned(), run_json::one(cost))).collect();
    let lengths = tally.total().counters.batch_lengths;
    debug_assert_eq!(lengths.len(), HISTOGRAM);
    json!({
        "arch": played.arch,
        "kernel": played.kernel,
        "calls": tally.calls,
        "equal": tally.equal,
        "differences": tally.differences,
        "maps": played.maps,
        "counters": costs,
        "mprotect_instructions": played.mprotects().and_then(|all| all.instructions()).map(f64::round),
        "first_uses": run_json::one(&tally.faults),
        "batch_lengths": lengths,
        "dearest": &tally.dearest[..tally.dearest.len().min(DEAREST_SHOWN)],
        "took_blocks_apart": {"calls": tally.broke_count, "first": tally.broke},
        "cuts": tally.cuts,
        "sites": sites_json(tally),
        "folded": tally.processes.iter().map(|p| p.folded).sum::<u64>(),
        "resident": tally.processes.iter().filter_map(|p| p.resident).sum::<u64>(),
    })
}

fn sites_json(tally: &Tally) -> Vec<Value> {
    let all = tally.sites.all.iter();
    all.map(|((place, name), site)| json!({"place": place, "call": name, "calls": site.calls, "steps": site.steps})).collect()
}
