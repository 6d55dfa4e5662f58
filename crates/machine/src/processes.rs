//! Which process has which address space: threads, and what `vfork` made, share one.

use ptelab_mm::{Mm, MmId};
use ptelab_uapi::{CallError, Pid};
use std::collections::BTreeMap;

/// The processes that live, and their address spaces.
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    of: BTreeMap<Pid, MmId>,
    mms: BTreeMap<MmId, Mm>,
    /// Nodes that new pages of a process are bound to (`MPOL_BIND`), where they are.
    bound: BTreeMap<Pid, u8>,
    next: Pid,
}

impl Processes {
    /// Process 1.
    pub(crate) fn new(init: Mm) -> Self {
        let mut all = Self { of: BTreeMap::new(), mms: BTreeMap::new(), bound: BTreeMap::new(), next: 1 };
        all.add(init);
        all
    }

    /// One process, of this number.
    pub(crate) fn only(pid: Pid, mm: Mm) -> Self {
        let of = BTreeMap::from([(pid, mm.id)]);
        Self { of, mms: BTreeMap::from([(mm.id, mm)]), bound: BTreeMap::new(), next: pid + 1 }
    }

    pub(crate) fn pids(&self) -> Vec<Pid> {
        self.of.keys().copied().collect()
    }

    pub(crate) fn mm(&self, pid: Pid) -> Option<&Mm> {
        self.mms.get(self.of.get(&pid)?)
    }

    pub(crate) fn mm_mut(&mut self, pid: Pid) -> Option<&mut Mm> {
        self.mms.get_mut(self.of.get(&pid)?)
    }

    /// Every address space.
    pub(crate) fn mms_mut(&mut self) -> impl Iterator<Item = &mut Mm> {
        self.mms.values_mut()
    }

    /// A new process with an address space of its own.
    pub(crate) fn add(&mut self, mm: Mm) -> Pid {
        let pid = self.next_pid();
        self.of.insert(pid, mm.id);
        self.mms.insert(mm.id, mm);
        pid
    }

    /// A new process that shares the address space of `pid`.
    pub(crate) fn share(&mut self, pid: Pid) -> Option<Pid> {
        let id = *self.of.get(&pid)?;
        let child = self.next_pid();
        self.of.insert(child, id);
        self.inherit(pid, child);
        Some(child)
    }

    /// A child has its parent's policy.
    pub(crate) fn inherit(&mut self, parent: Pid, child: Pid) {
        self.bind(child, self.bound_to(parent));
    }

    /// Binds new pages of a process to a node, or to none.
    pub(crate) fn bind(&mut self, pid: Pid, node: Option<u8>) {
        match node {
            Some(node) => self.bound.insert(pid, node),
            None => self.bound.remove(&pid),
        };
    }

    pub(crate) fn bound_to(&self, pid: Pid) -> Option<u8> {
        self.bound.get(&pid).copied()
    }

    /// Gives a process another address space; returns the old one unless another process shares it.
    pub(crate) fn replace(&mut self, pid: Pid, mm: Mm) -> Option<Mm> {
        let old = self.of.insert(pid, mm.id);
        self.mms.insert(mm.id, mm);
        self.put(old?)
    }

    /// Ends a process; returns its address space unless another process shares it.
    pub(crate) fn remove(&mut self, pid: Pid) -> Result<Option<Mm>, CallError> {
        let id = self.of.remove(&pid).ok_or(CallError::NoProcess(pid))?;
        self.bound.remove(&pid);
        Ok(self.put(id))
    }

    /// The address spaces of all others, to be taken back after a call of `pid`.
    pub(crate) fn lend(&mut self, pid: Pid) -> Vec<Mm> {
        let own = self.of.get(&pid).and_then(|id| self.mms.remove(id));
        let lent = std::mem::take(&mut self.mms);
        self.mms.extend(own.map(|mm| (mm.id, mm)));
        lent.into_values().collect()
    }

    pub(crate) fn take_back(&mut self, lent: Vec<Mm>) {
        self.mms.extend(lent.into_iter().map(|mm| (mm.id, mm)));
    }

    fn put(&mut self, id: MmId) -> Option<Mm> {
        let is_used = self.of.values().any(|of| *of == id);
        if is_used { None } else { self.mms.remove(&id) }
    }

    fn next_pid(&mut self) -> Pid {
        self.next += 1;
        self.next - 1
    }
}
