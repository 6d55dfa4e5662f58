//! `ptelab replay`

use crate::args;
use crate::defaults::REPLAY;
use crate::exit::{DIFFERS, FINE, STOPPED};
use crate::output::{self, Failed, Out};
use crate::progress::{self, STOP};
use crate::{input, logs, machines};
use ptelab::HwKind;
use ptelab::exec::Watch;
use ptelab::replay::{self, MapsLine, MapsReport, Options, Replay, ReplayError, SmapsArea};
use ptelab::scenario::strace::Reader;
use std::collections::BTreeSet;
use std::path::Path;

/// Mistakes of a maps file, and processes, that a message names.
const MAX_SHOWN: usize = 10;

pub(crate) fn replay(args: &args::Replay, out: &mut Out) -> Result<u8, Failed> {
    let matrix = crate::beside::seen_within(&args.machines, &REPLAY, args.memory)?.hw(HwKind::Counting);
    let options = Options {
        thp: args.thp.clone(),
        fault_in: args.fault_in,
        until: args.until,
        dump: args.dump.map(|(addr, len)| (args.pid, addr, len)),
        maps: args.maps.as_deref().map(maps).transpose()?,
        maps_of: args.pid,
        smaps: match (&args.smaps, &args.pagemap) {
            (Some(path), _) => Some(smaps(path)?),
            (None, Some(path)) => Some(pagemap(path)?),
            (None, None) => None,
        },
        is_pagemap: args.pagemap.is_some(),
    };
    let name = args.files[0].display();
    let failed = |error: &dyn std::fmt::Display| Failed::Unusable(format!("{name}: {error}"));
    let log = logs::open_all(&args.files)?;
    machines::note_log_sizes(&matrix, &args.thp);
    progress::stop_on_ctrl_c();
    let bar = progress::spinner("lines");
    let watch = Watch { stop: &STOP, tick: &|lines| bar.inc(lines) };
    let scenario = args.to_scenario.as_deref().map(output::create).transpose()?;
    let done = replay::replay(Reader::new(log), &matrix, &options, scenario, watch);
    bar.finish_and_clear();
    let done = done.map_err(|error| match error {
        ReplayError::Read(error) => failed(&error),
        ReplayError::Write(error) => Failed::Output(error),
        other => Failed::Unusable(other.to_string()),
    })?;
    done.notes.iter().for_each(|note| progress::warn(&format!("{name}: {note}")));
    if args.maps.is_some() && done.machines.iter().all(|played| played.maps.is_none()) {
        return Err(failed(
            &"the log does not show a /proc/PID/maps being opened, so there is no point to compare at",
        ));
    }
    if let Some(pid) = args.pid {
        check_pid(pid, &done).map_err(|error| failed(&error))?;
    }
    if args.json {
        out.json(&replay::json(&done, args.pid))?;
    } else {
        out.text(replay::text(&done, args.pid))?;
    }
    Ok(status(&done))
}

/// Whether the log has a process; else which it has.
fn check_pid(pid: u32, done: &Replay) -> Result<(), String> {
    let processes = done.machines.iter().flat_map(|played| &played.tally.processes);
    let known: BTreeSet<u32> = processes.filter_map(|process| process.pid).collect();
    if known.contains(&pid) {
        return Ok(());
    }
    let known: Vec<String> = known.iter().take(MAX_SHOWN).map(u32::to_string).collect();
    let known =
        if known.is_empty() { "it names none".to_owned() } else { format!("it has {}", known.join(", ")) };
    Err(format!("the log has no process {pid}: {known}"))
}

fn maps(path: &Path) -> Result<Vec<MapsLine>, Failed> {
    let bytes = input::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    replay::parse_maps(&text).map_err(|errors| {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        if lines > 1 && errors.len() == lines {
            return Failed::Unusable(format!(
                "{}: none of its lines is one of /proc/PID/maps",
                path.display()
            ));
        }
        let shown = errors.iter().take(MAX_SHOWN);
        let mut texts: Vec<String> = shown.map(|error| format!("{}: {error}", path.display())).collect();
        if errors.len() > MAX_SHOWN {
            texts.push(format!("and {} more", errors.len() - MAX_SHOWN));
        }
        Failed::all(&texts)
    })
}

fn smaps(path: &Path) -> Result<Vec<SmapsArea>, Failed> {
    let bytes = input::read(path)?;
    replay::parse_smaps(&String::from_utf8_lossy(&bytes)).map_err(|_| {
        let text = "no mapping with its `Rss:` in it, as /proc/PID/smaps has them (smaps_rollup has one sum, which tells of no mapping)";
        Failed::Unusable(format!("{}: {text}", path.display()))
    })
}

fn pagemap(path: &Path) -> Result<Vec<SmapsArea>, Failed> {
    let bytes = input::read(path)?;
    replay::parse_pagemap(&String::from_utf8_lossy(&bytes)).map_err(|error| {
        let text = "pages in use are lines of `page-types -p PID -L`, or ranges, as in 0x7f0000000000+8192";
        Failed::Unusable(format!("{}: line {}: `{}`: {text}", path.display(), error.line, error.text))
    })
}

fn status(done: &Replay) -> u8 {
    let equal = done.mistakes.is_empty()
        && done.machines.iter().all(|played| {
            played.tally.differences_count == 0 && played.maps.as_ref().is_none_or(MapsReport::is_equal)
        });
    match (done.finished, equal) {
        (false, _) => STOPPED,
        (true, true) => FINE,
        (true, false) => DIFFERS,
    }
}
