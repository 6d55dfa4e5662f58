//! System V segments of a log: they have the numbers that the machine gives them.

use crate::call::{Got, Logged};
use crate::player::Player;
use crate::refused;
use ptelab_machine::{Call, CallError, Pid};
use ptelab_run::observe::Observer;
use ptelab_scenario::strace::{LoggedOutcome, Syscall};

impl<O: Observer> Player<O> {
    /// Makes a call that is about a segment.
    pub(crate) fn shm(&mut self, pid: Pid, logged: Logged<'_>) -> Got {
        let outcome = &logged.call.outcome;
        match logged.call.call {
            Syscall::Shmget { key, size, flags } => {
                let call = Call::Shmget { key: key as u32, size, flags };
                if let LoggedOutcome::Failed(errno) = outcome {
                    let got = self.try_call(pid, &call);
                    let same = got.is_err_and(|error| error == CallError::Errno(*errno));
                    return if same { Got::Result(got) } else { Got::Refused(refused::SHM) };
                }
                let got = self.make(pid, &call);
                if let (&Ok(ours), LoggedOutcome::Value(theirs)) = (&got, outcome) {
                    self.segments.insert(*theirs as i32, ours as i32);
                    return Got::AsLogged;
                }
                Got::Result(got.map(|_| 0))
            }
            Syscall::Shmat { id, addr, flags } => {
                let Some(&id) = self.segments.get(&id) else {
                    return Got::Skipped("on segments that the log does not show being made");
                };
                let addr = if let LoggedOutcome::Value(at) = outcome { *at } else { addr };
                Got::Result(self.make(pid, &Call::Shmat { id, addr, flags }))
            }
            Syscall::Shmdt { addr }
                if !self.is_mapped(pid, addr, 1) && matches!(outcome, LoggedOutcome::Value(_)) =>
            {
                Got::Skipped("on segments that the log does not show being made")
            }
            Syscall::Shmdt { addr } => Got::Result(self.make(pid, &Call::Shmdt { addr })),
            Syscall::ShmRemove { id } => {
                let Some(&id) = self.segments.get(&id) else {
                    return Got::Skipped("on segments that the log does not show being made");
                };
                Got::Result(self.make(pid, &Call::ShmRmid { id }))
            }
            _ => Got::Skipped("that are not about memory"),
        }
    }
}
