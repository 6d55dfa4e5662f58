//! Finding the topmost tables of processes.

use super::guests::{Order, Place};
use super::{Qemu, nonsense};
use crate::qemu::gdb::Gdb;
use crate::real::{RealError, Root, Translate};
use ptelab_uapi::Outcome;
use std::io;
use std::thread;
use std::time::Duration;

/// How often the machine is stopped until it is found in the process whose tables are wanted.
const STOPS: u32 = 2000;

/// What radix address spaces of powerpc begin a process table with: the kernel's own, of 52 bits and 8,192 entries at the top.
const FIRST_ENTRY: u64 = 0x4000_0000_0000_00ad;
/// The bits of it that are the address.
const ENTRY_ADDR: u64 = 0x000f_ffff_ffff_0000;
/// Bytes of an entry, and between the places where a process table may stand.
const ENTRY: u64 = 16;
const ALIGNED: u64 = 64 << 10;
/// Address spaces that are looked at: the kernel takes low numbers first.
const SPACES: u64 = 1 << 13;

impl Qemu {
    /// The topmost table of a process that has this number in its marker.
    pub(super) fn find_root(
        &mut self,
        pid: u32,
        number: u64,
        translate: &Translate<'_>,
    ) -> Result<Root, RealError> {
        let known = self.known_roots.iter().copied().find(|root| self.is_root(*root, number, translate));
        if let Some(root) = known {
            return Ok(root);
        }
        if let Place::ProcessTable = self.setup.guest.root {
            let mut all = self.address_spaces()?.into_iter();
            let found = all.find(|root| self.is_root(*root, number, translate));
            return found.ok_or_else(|| nonsense(&format!("process {pid} has no tables")));
        }
        self.stop_for_root(pid)
    }

    /// Whether a topmost table is that of a process with this number.
    fn is_root(&self, root: Root, number: u64, translate: &Translate<'_>) -> bool {
        let [order, tables] = self.setup.guest.orders;
        let entry = |at| self.ram.word(at).map(|word| tables.word(word));
        let at = translate(root, self.mailbox.marker(), &entry);
        at.and_then(|at| self.ram.word(at)).map(|word| order.word(word)) == Some(number)
    }

    /// The topmost table of a process, that is in user mode for it while the machine is stopped.
    fn stop_for_root(&mut self, pid: u32) -> Result<Root, RealError> {
        let Outcome::Value(spins) = self.ask(&format!("{pid} spin"))?.reply else {
            return Err(RealError::Died(pid));
        };
        let root = self.root_of_spinning(spins).map_err(RealError::io("QEMU's gdb stub"))?;
        let root = root.ok_or(RealError::Stopped)?;
        self.ask(&format!("{pid} stop"))?;
        Ok(root)
    }

    /// That of the process that spins: the one whose word at `spins` is 1 while the machine is in user mode. Nothing where it was
    /// stopped.
    fn root_of_spinning(&mut self, spins: u64) -> io::Result<Option<Root>> {
        let (mode, mask, user) = self.setup.guest.mode;
        let gdb = match &mut self.gdb {
            Some(gdb) => gdb,
            none => none.insert(Gdb::connect(&self.socket, self.setup.guest.orders[0])?),
        };
        for _ in 0..STOPS {
            if self.setup.stopped() {
                return Ok(None);
            }
            gdb.stop()?;
            let found = if gdb.at(mode)? & mask == user && gdb.word(spins)? == Some(1) {
                Some((self.setup.guest.read_root)(gdb.at(self.setup.guest.root)?))
            } else {
                None
            };
            gdb.go()?;
            if let Some(Root { addr, levels }) = found {
                let wide = self.setup.guest.wide.filter(|_| self.facts.has("wide"));
                return Ok(Some(Root { addr, levels: wide.map_or(levels, |(_, levels)| levels) }));
            }
            thread::sleep(Duration::from_micros(500));
        }
        Err(io::Error::other("the guest is never found in the process whose tables are wanted"))
    }

    /// The topmost tables of all address spaces.
    fn address_spaces(&mut self) -> Result<Vec<Root>, RealError> {
        let entry = |at| self.ram.word(at).map(|word| Order::Big.word(word));
        let begins = |at: &u64| entry(*at).is_some_and(|word| word & !ENTRY_ADDR == FIRST_ENTRY);
        let table = if let Some(table) = self.process_table {
            table
        } else {
            let mut all = (0..self.ram.len()).step_by(ALIGNED as usize).filter(begins);
            let table = all.next().filter(|_| all.next().is_none());
            table.ok_or_else(|| nonsense("no process table, or several"))?
        };
        self.process_table = Some(table);
        let entries = (1..SPACES).filter_map(|n| entry(table + n * ENTRY)).filter(|entry| *entry != 0);
        Ok(entries.map(self.setup.guest.read_root).collect())
    }
}
