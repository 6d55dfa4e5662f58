//! What a call came to, held against the log.

use crate::call::{Caller, Got, Logged};
use crate::effects::touched;
use crate::player::Player;
use crate::tally::LogDifference;
use ptelab_machine::{CallError, Counters, Outcome};
use ptelab_run::exec::Taken;
use ptelab_run::observe::{Observer, Seen};
use ptelab_scenario::strace::{LoggedCall, LoggedOutcome, Syscall};

impl<O: Observer> Player<O> {
    /// Counts a call, by what it came to; says whether that is what the log says, as far as it can be judged.
    pub(crate) fn judge(&mut self, caller: Caller, logged: Logged<'_>, got: Got) -> bool {
        let Logged { line, call } = logged;
        let equal = match got {
            Got::Skipped(why) => {
                self.tally.skip(why);
                return true;
            }
            Got::ByRule(why) | Got::Refused(why) => {
                let tally = &mut self.tally;
                let counts = if let Got::ByRule(_) = got { &mut tally.by_rule } else { &mut tally.refused };
                *counts.entry(why).or_default() += 1;
                tally.calls += 1;
                tally.processes[caller.process].calls += 1;
                return true;
            }
            Got::AsLogged => true,
            Got::Result(result) => same(&call.outcome, result),
        };
        self.tally.calls += 1;
        self.tally.processes[caller.process].calls += 1;
        if equal {
            self.tally.equal += 1;
            self.tally.processes[caller.process].equal += 1;
        } else if let Got::Result(result) = got {
            let difference = LogDifference {
                line,
                call: call.text.clone(),
                expected: logged_text(call),
                got: Outcome::from(result).to_string(),
            };
            self.tally.differ(difference);
        }
        equal
    }

    /// Tells the observer, and who reads the log of calls, of a call: what it came to, whether that is what the log says, and what it took, with the first uses
    /// of memory after it.
    pub(crate) fn tell(
        &mut self,
        caller: Caller,
        logged: Logged<'_>,
        (got, equal): (Got, bool),
        taken: [Taken; 2],
    ) {
        if self.observer.is_none() && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let call = logged.call;
        let outcome = match got {
            // Of a call that makes a process, its number.
            Got::Result(Ok(_)) if equal => logged_text(call),
            Got::Result(result) => Outcome::from(result).to_string(),
            Got::AsLogged => logged_text(call),
            Got::ByRule(rule) => rule.to_owned(),
            Got::Refused(by) => format!("{} (refused by {by})", logged_text(call)),
            Got::Skipped(why) => format!("{} (not judged: a call {why})", logged_text(call)),
        };
        tracing::debug!(line = logged.line, call = %call_without_result(&call.text), %outcome);
        let Some(observer) = &mut self.observer else { return };
        let mut counters = Counters::default();
        let mut records = Vec::new();
        for part in taken {
            counters += part.counters.unwrap_or_default();
            records.extend(part.records);
        }
        let seen = Seen {
            line: logged.line,
            pid: caller.pid,
            number: self.tally.number_of(caller),
            name: call.name,
            text: call_without_result(&call.text),
            ranges: touched(call),
            outcome,
            as_expected: equal,
            counters,
            records,
        };
        observer.seen(&*self.vm, seen);
    }
}

/// Whether a result is the one that the log has.
fn same(logged: &LoggedOutcome, got: Result<u64, CallError>) -> bool {
    match (logged, got) {
        (LoggedOutcome::Value(want), Ok(got)) => *want == got,
        (LoggedOutcome::Failed(want), Err(CallError::Errno(got))) => *want == got,
        _ => false,
    }
}

/// A call as the log has it, without what it returned.
fn call_without_result(text: &str) -> &str {
    text.rsplit_once(" = ").map_or(text, |(call, _)| call).trim_end()
}

/// `0`, `0x7f0000000000`, `-1 ENOMEM`, and the number of a process that was made.
fn logged_text(call: &LoggedCall) -> String {
    let is_process = matches!(call.call, Syscall::Fork | Syscall::Vfork | Syscall::Clone { .. });
    match &call.outcome {
        LoggedOutcome::Value(n) if *n < 4096 || is_process => n.to_string(),
        LoggedOutcome::Value(n) => format!("{n:#x}"),
        LoggedOutcome::Failed(errno) => format!("-1 {}", errno.name()),
        LoggedOutcome::FailedOther(text) => format!("-1 {text}"),
        LoggedOutcome::Restarted | LoggedOutcome::Unknown => "?".to_owned(),
    }
}
