//! Protection keys of a log, on machines that have keys and on those that have none.
//!
//! Which keys a process has is the log's word: one that it uses is its own, also where the log does not show it being allocated.
//! A machine without keys changes the protection, and leaves the key out.

use crate::call::{Caller, Got, Logged};
use crate::player::Player;
use ptelab_machine::uapi::PkeyRights;
use ptelab_machine::{Call, Errno};
use ptelab_run::observe::Observer;
use ptelab_scenario::strace::{LoggedOutcome, Syscall};

impl<O: Observer> Player<O> {
    /// Makes a call that is about a protection key.
    pub(crate) fn pkey(&mut self, caller: Caller, logged: Logged<'_>) -> Got {
        let LoggedOutcome::Value(value) = logged.call.outcome else {
            return self.refused_pkey(caller, logged);
        };
        match logged.call.call {
            Syscall::PkeyAlloc { rights, .. } => {
                self.take_pkey(caller, value as i32, rights);
                Got::AsLogged
            }
            Syscall::PkeyFree { pkey } => match self.processes[caller.process].pkeys.remove(&pkey) {
                Some(pkey) => Got::Result(self.make(caller.pid, &Call::PkeyFree { pkey })),
                None => Got::AsLogged,
            },
            Syscall::Mprotect { addr, len, prot, pkey: Some(pkey) } => {
                let call = match self.known_pkey(caller, pkey) {
                    Some(pkey) => Call::PkeyMprotect { addr, len, prot, pkey },
                    None => Call::Mprotect { addr, len, prot },
                };
                Got::Result(self.make(caller.pid, &call))
            }
            _ => Got::Skipped("that are not about memory"),
        }
    }

    /// A key that the process has not is refused; what else may be wrong is that of any mprotect.
    fn refused_pkey(&mut self, caller: Caller, logged: Logged<'_>) -> Got {
        match logged.call.call {
            Syscall::Mprotect { addr, len, prot, pkey: Some(pkey) } if self.has_pkey(caller, pkey) => {
                Got::Result(self.try_call(caller.pid, &Call::Mprotect { addr, len, prot }))
            }
            _ => Got::AsLogged,
        }
    }

    fn has_pkey(&self, caller: Caller, pkey: i32) -> bool {
        pkey == -1 || pkey == 0 || self.processes[caller.process].pkeys.contains_key(&pkey)
    }

    /// The machine's key for one of the log's; nothing where there is none to name.
    fn known_pkey(&mut self, caller: Caller, pkey: i32) -> Option<i32> {
        match pkey {
            -1 => None,
            0 => self.has_keys(caller).then_some(0),
            _ if self.has_pkey(caller, pkey) => self.processes[caller.process].pkeys.get(&pkey).copied(),
            _ => self.take_pkey(caller, pkey, PkeyRights::empty()),
        }
    }

    /// Whether the machine has keys to give.
    fn has_keys(&mut self, caller: Caller) -> bool {
        let probe = Call::PkeyAlloc { flags: 0, rights: PkeyRights::empty() };
        match self.make(caller.pid, &probe) {
            Ok(pkey) => self.make(caller.pid, &Call::PkeyFree { pkey: pkey as i32 }).is_ok(),
            Err(error) => error == Errno::ENOSPC.into(),
        }
    }

    fn take_pkey(&mut self, caller: Caller, pkey: i32, rights: PkeyRights) -> Option<i32> {
        // Other rights are those of the log's port.
        let rights = rights & (PkeyRights::DISABLE_ACCESS | PkeyRights::DISABLE_WRITE);
        let ours = self.make(caller.pid, &Call::PkeyAlloc { flags: 0, rights }).ok()? as i32;
        self.processes[caller.process].pkeys.insert(pkey, ours);
        Some(ours)
    }
}
