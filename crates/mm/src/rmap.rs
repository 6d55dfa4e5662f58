//! Who may map an anonymous page: anon_vmas and their families (`mm/rmap.c`, 7.3).

use crate::vma::AnonVmaId;

/// One anon_vma's place in its family.
#[derive(Clone, Copy, Debug, Default)]
struct AnonVma {
    /// VMAs whose chains name it.
    refs: u32,
    /// VMAs whose own it is.
    active: u32,
    parent: Option<AnonVmaId>,
    children: u32,
}

/// All anon_vmas of a machine (`mm/rmap.c`).
#[derive(Clone, Debug, Default)]
pub(crate) struct AnonVmas {
    all: Vec<AnonVma>,
    free: Vec<AnonVmaId>,
}

impl AnonVmas {
    /// A new one, which no VMA names yet.
    pub(crate) fn alloc(&mut self, parent: Option<AnonVmaId>) -> AnonVmaId {
        let new = AnonVma { parent, ..AnonVma::default() };
        if let Some(parent) = parent {
            self.all[parent as usize].children += 1;
        }
        if let Some(id) = self.free.pop() {
            self.all[id as usize] = new;
            return id;
        }
        self.all.push(new);
        self.all.len() as AnonVmaId - 1
    }

    /// One more VMA names these; its own is the last.
    pub(crate) fn link(&mut self, chain: &[AnonVmaId]) {
        for &id in chain {
            self.all[id as usize].refs += 1;
        }
        if let Some(&own) = chain.last() {
            self.all[own as usize].active += 1;
        }
    }

    /// One VMA less names these.
    pub(crate) fn unlink(&mut self, chain: &[AnonVmaId]) {
        if let Some(&own) = chain.last() {
            self.all[own as usize].active -= 1;
        }
        for &id in chain.iter().rev() {
            let anon_vma = &mut self.all[id as usize];
            anon_vma.refs -= 1;
            if anon_vma.refs > 0 {
                continue;
            }
            self.free.push(id);
            if let Some(parent) = anon_vma.parent {
                self.all[parent as usize].children -= 1;
            }
        }
    }

    /// One of the chain that no VMA uses for its own any more and that has at most one child: a forked VMA takes it over
    /// (`anon_vma_clone`).
    pub(crate) fn reusable(&self, chain: &[AnonVmaId]) -> Option<AnonVmaId> {
        chain.iter().copied().find(|&id| {
            let anon_vma = self.all[id as usize];
            anon_vma.children < 1 + u32::from(anon_vma.parent.is_some()) && anon_vma.active == 0
        })
    }
}
