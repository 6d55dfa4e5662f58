//! What holds on one machine after every call, whatever the calls were.

use super::checks::{Check, Checks, Violation};
use super::judge::OnTrial;
use super::model::{Page, Space, State};
use super::state::{Seen, named};
use crate::PLACES;
use ptelab_machine::mm::{LeafEntry, Mm, Pagemap, Vma};
use ptelab_machine::pgtable::VirtAddr;
use ptelab_machine::pgtable::laws::PortFacts;
use ptelab_machine::pgtable::{
    Access, Level, Pfn, PteAttrs, PteView, SoftFlags, SoftLeaf, VmFlags, Walk, marker, swp_type,
};
use ptelab_machine::{Backend, Pid, Prot};

impl<A: PortFacts> OnTrial<A> {
    pub(super) fn entries_are_sound(&self, pid: Pid, mm: &Mm, checks: Checks) -> Result<(), Violation> {
        let mut vmas = mm.vmas.iter().peekable();
        for seen in self.of(pid) {
            while vmas.next_if(|vma| vma.end <= seen.entry.addr).is_some() {}
            let vma = vmas.peek().copied().filter(|vma| vma.start <= seen.entry.addr);
            self.entry_is_sound(seen, vma, checks)?;
        }
        Ok(())
    }

    fn entry_is_sound(&self, seen: &Seen, vma: Option<&Vma>, checks: Checks) -> Result<(), Violation> {
        let LeafEntry { level, pte, page, .. } = seen.entry;
        let wrong = |check, what: &str| Err(Violation::new(check, format!("{}: {what}", seen.text())));
        let Some(vma) = vma else {
            return if checks.has(Check::Outside) { wrong(Check::Outside, "no VMA there") } else { Ok(()) };
        };
        let private = !vma.flags.contains(VmFlags::SHARED);
        if let PteView::Soft(leaf) = seen.view
            && private
        {
            self.software_is_sound(seen, leaf, checks)?;
        }
        let allowed = vma.flags & VmFlags::ACCESS;
        let writable = seen.attrs().contains(PteAttrs::WRITE);
        if checks.has(Check::Vma) {
            if writable && !allowed.contains(VmFlags::WRITE) {
                return wrong(Check::Vma, "its VMA is not writable");
            }
            if allowed.is_empty() && seen.mapping().is_some() && self.lets(pte, level, Access::Read) {
                return wrong(Check::Vma, "its VMA allows no access");
            }
        }
        let Some(page) = page else { return Ok(()) };
        let count = self.counts[page.pfn.index()];
        if checks.has(Check::Mapcount) && page.mapcount != count {
            return wrong(Check::Mapcount, &format!("{count} entries map it"));
        }
        if checks.has(Check::Exclusive) && page.exclusive && count != 1 {
            return wrong(Check::Exclusive, &format!("exclusive, and {count} entries map it"));
        }
        if checks.has(Check::Writable) && writable && private && (count != 1 || !page.exclusive) {
            let why =
                if page.exclusive { &format!("{count} entries map it") } else { "AnonExclusive is not set" };
            return wrong(Check::Writable, &format!("writable, but {why}"));
        }
        Ok(())
    }

    /// Software entries of private memory: slots are named as often as they count, and what only one process has is named once.
    fn software_is_sound(&self, seen: &Seen, leaf: SoftLeaf, checks: Checks) -> Result<(), Violation> {
        let wrong = |check, what: String| Err(Violation::new(check, format!("{}: {what}", seen.text())));
        let names = self.named.get(&named(leaf)).copied().unwrap_or(0);
        if leaf.is_swap() && checks.has(Check::Mapcount) {
            let count = self.machine.kernel.swap.swap_count(leaf);
            if count != Some(names) {
                return wrong(
                    Check::Mapcount,
                    format!("{names} entries name the slot, which counts {count:?}"),
                );
            }
        }
        let own = match leaf.ty {
            swp_type::MIGRATION_WRITE | swp_type::MIGRATION_READ_EXCLUSIVE => true,
            _ => leaf.is_swap() && leaf.flags.contains(SoftFlags::EXCLUSIVE),
        };
        if own && names != 1 && checks.has(Check::Exclusive) {
            return wrong(Check::Exclusive, format!("exclusive, and {names} entries name it"));
        }
        Ok(())
    }

    /// Memory holds what was written, and writes and protection are tracked.
    pub(super) fn contents_are_right(
        &self,
        pid: Pid,
        space: &Space,
        checks: Checks,
    ) -> Result<(), Violation> {
        let mut entries = self.of(pid).iter().peekable();
        for (at, page) in space.iter() {
            let addr = at * A::PAGE_SIZE;
            let ends = |seen: &Seen| seen.entry.addr.get() + A::entry_size(seen.entry.level);
            while entries.next_if(|seen| ends(seen) <= addr).is_some() {}
            let here = entries.peek().copied().filter(|seen| seen.entry.addr.get() <= addr);
            self.page_is_right(page, addr, here, checks).map_err(|(check, what)| {
                let entry = here.map_or_else(|| format!("[pid {pid}] {addr:#x} empty"), Seen::text);
                Violation::new(check, format!("{entry}: {what}"))
            })?;
        }
        Ok(())
    }

    fn page_is_right(
        &self,
        page: &Page,
        addr: u64,
        here: Option<&Seen>,
        checks: Checks,
    ) -> Result<(), (Check, String)> {
        if checks.has(Check::Contents) {
            let bytes = match here {
                None if page.is_shared() => None,
                None => Some([0; 4]),
                Some(seen) => self.bytes(seen, addr),
            };
            if bytes.is_some_and(|bytes| bytes != page.bytes()) {
                return Err((Check::Contents, format!("holds {bytes:?}, was written {:?}", page.bytes())));
            }
            let unmapped = page.is_shared() && here.is_none();
            if page.has_failed()
                && !unmapped
                && !here.is_some_and(|seen| matches!(seen.view, PteView::Soft(_)))
            {
                return Err((Check::Contents, "failed, and can be reached".to_owned()));
            }
        }
        let guard = |seen: &Seen| matches!(seen.view, PteView::Soft(leaf) if leaf.is_marker(marker::GUARD));
        if checks.has(Check::Results) && page.is(State::GUARD) != here.is_some_and(guard) {
            return Err((Check::Results, format!("a guard: {}, and says otherwise", page.is(State::GUARD))));
        }
        let says = |bit| here.is_some_and(|seen| seen.entry.pagemap.contains(bit));
        let unsure = page.has_failed() || page.is(State::GUARD) || page.is(State::SLIPPING);
        if checks.has(Check::Protected) && page.uffd.is_some() && !unsure {
            let protected = page.is(State::PROTECTED);
            if protected != says(Pagemap::UFFD_WP) {
                let text = format!("write-protected by userfaultfd: {protected}, and says otherwise");
                return Err((Check::Protected, text));
            }
            if protected && here.is_some_and(|seen| seen.attrs().contains(PteAttrs::WRITE)) {
                return Err((Check::Protected, "write-protected by userfaultfd, and writable".to_owned()));
            }
        }
        let Some(seen) = here.filter(|seen| !page.is_shared() && !self.is_zero(seen)) else { return Ok(()) };
        let kept = !self.had_huge || self.keeps_dirty;
        let present = seen.mapping().is_some();
        if checks.has(Check::Dirty) && page.is(State::DIRTY) && present && kept && !self.is_dirty(seen) {
            return Err((Check::Dirty, "was written, and nothing says so".to_owned()));
        }
        let tracked = self.machine.kernel.pt.arch.has_soft_dirty();
        if checks.has(Check::SoftDirty) && tracked && page.is(State::SOFT_DIRTY) && !says(Pagemap::SOFT_DIRTY)
        {
            return Err((Check::SoftDirty, "was written, and is not soft-dirty".to_owned()));
        }
        Ok(())
    }

    /// What the page of an entry holds at the places that are looked at, if that is known.
    fn bytes(&self, seen: &Seen, addr: u64) -> Option<[u8; 4]> {
        let kernel = &self.machine.kernel;
        let of_frame = |first: Pfn| {
            let pfn = first.add((addr - seen.entry.addr.get()) / A::PAGE_SIZE);
            Some(PLACES.map(|place| kernel.pt.pages.read(pfn, place as usize)))
        };
        match seen.view {
            PteView::Present(_) if self.is_zero(seen) => Some([0; 4]),
            PteView::Present(m) => of_frame(m.pfn),
            PteView::Soft(leaf) if leaf.is_swap() => {
                Some(PLACES.map(|place| kernel.swap.byte(leaf, place as usize).unwrap_or_default()))
            }
            PteView::Soft(leaf) if leaf.ty == swp_type::HWPOISON => None,
            PteView::Soft(leaf) => leaf.pfn().and_then(of_frame),
            PteView::None | PteView::Table(_) => None,
        }
    }

    fn is_zero(&self, seen: &Seen) -> bool {
        seen.mapping().is_some_and(|m| self.machine.kernel.pt.pages.is_zero_page(m.pfn))
    }

    fn is_dirty(&self, seen: &Seen) -> bool {
        let folio = seen.entry.page.is_some_and(|page| self.machine.kernel.pt.pages.is_dirty(page.folio));
        folio || seen.attrs().contains(PteAttrs::DIRTY) || self.in_dirty_block(seen)
    }

    /// Whether any entry of a contiguous block is dirty: hardware may have noted it there.
    fn in_dirty_block(&self, seen: &Seen) -> bool {
        if !seen.attrs().contains(PteAttrs::CONT) {
            return false;
        }
        let start = seen.entry.addr.align_down(A::CONT_PTES as u64 * A::PAGE_SIZE);
        let block = start..start.add(A::CONT_PTES as u64 * A::PAGE_SIZE);
        let of_block = |other: &&Seen| other.pid == seen.pid && block.contains(&other.entry.addr);
        self.now.iter().filter(of_block).any(|other| other.attrs().contains(PteAttrs::DIRTY))
    }

    /// The resident size that smaps says is that of the entries.
    pub(super) fn sizes_add_up(&self) -> Result<(), Violation> {
        for pid in self.machine.processes() {
            let Ok(vmas) = self.machine.vmas(pid, 0, u64::MAX) else { continue };
            let said = vmas.iter().fold((0, 0), |(rss, swap), vma| (rss + vma.rss, swap + vma.swap));
            let mut counted = (0, 0);
            for seen in self.of(pid) {
                let size = A::entry_size(seen.entry.level);
                match seen.view {
                    PteView::Soft(leaf) if leaf.is_swap() => counted.1 += size,
                    _ if seen.entry.page.is_some() => counted.0 += size,
                    _ => {}
                }
            }
            if said != counted {
                let text = format!(
                    "[pid {pid}] smaps says {said:?} bytes resident and in swap, entries {counted:?}"
                );
                return Err(Violation::new(Check::Mapcount, text));
            }
        }
        Ok(())
    }

    pub(super) fn areas_are_right(&self, pid: Pid, mm: &Mm, space: &Space) -> Result<(), Violation> {
        let wrong = |text: String| Err(Violation::new(Check::Vma, format!("[pid {pid}] {text}")));
        let mut pages = space.iter().peekable();
        for vma in mm.vmas.iter() {
            let prot = Prot::from_bits_retain((vma.flags & VmFlags::ACCESS).bits());
            let registered = vma.flags.contains(VmFlags::UFFD_WP);
            for at in vma.start.get() / A::PAGE_SIZE..vma.end.get() / A::PAGE_SIZE {
                let Some((_, page)) = pages.next_if(|(page, _)| *page == at) else {
                    let found = if space.has(at) { "an earlier page is not" } else { "should not be" };
                    return wrong(format!("{:#x} is mapped and {found}", at * A::PAGE_SIZE));
                };
                if page.prot != prot {
                    return wrong(format!(
                        "{:#x} has protection {prot}, not {}",
                        at * A::PAGE_SIZE,
                        page.prot
                    ));
                }
                if page.uffd.is_some() != registered {
                    return wrong(format!("{:#x} is registered: {registered}", at * A::PAGE_SIZE));
                }
            }
        }
        match pages.next() {
            None => Ok(()),
            Some((at, _)) => wrong(format!("{:#x} is not mapped", at * A::PAGE_SIZE)),
        }
    }

    /// Every entry that says it is one of a contiguous block is.
    pub(super) fn blocks_are_whole(&self) -> Result<(), Violation> {
        let n = A::CONT_PTES;
        let recorded = PteAttrs::YOUNG | PteAttrs::DIRTY;
        let mut i = 0;
        while i < self.now.len() {
            let seen = &self.now[i];
            let Some(m) = seen.mapping().filter(|m| m.attrs.contains(PteAttrs::CONT)) else {
                i += 1;
                continue;
            };
            let invalid = m.attrs.contains(PteAttrs::PROTNONE);
            if invalid && self.cont_on_invalid {
                // The bit means nothing there, and stays where a part of the block goes.
                i += 1;
                continue;
            }
            let aligned = seen.entry.addr.is_aligned(n as u64 * A::PAGE_SIZE) && m.pfn.get() % n as u64 == 0;
            let alike = |(j, other): (usize, &Seen)| {
                other.place() == (seen.pid, seen.entry.addr.add(j as u64 * A::PAGE_SIZE))
                    && other.mapping().is_some_and(|o| {
                        o.pfn == m.pfn.add(j as u64) && o.attrs - recorded == m.attrs - recorded
                    })
            };
            let block = self.now.get(i..i + n);
            let whole = block.is_some_and(|block| block.iter().enumerate().all(alike));
            let folio = seen.entry.page.is_some_and(|page| page.folio.end() >= m.pfn.add(n as u64));
            if invalid || !(aligned && whole && folio) {
                return Err(Violation::new(
                    Check::Blocks,
                    format!("{}: not one of a whole block", seen.text()),
                ));
            }
            i += n;
        }
        Ok(())
    }

    /// What stands at a place now.
    fn at(&self, place: (Pid, VirtAddr)) -> Option<&Seen> {
        self.now.binary_search_by_key(&place, Seen::place).ok().map(|i| &self.now[i])
    }

    /// The entries of one process.
    fn of(&self, pid: Pid) -> &[Seen] {
        let from = self.now.partition_point(|seen| seen.pid < pid);
        let past = self.now.partition_point(|seen| seen.pid <= pid);
        &self.now[from..past]
    }

    /// No translation that may be cached allows what its entry does not.
    pub(super) fn nothing_is_stale(&mut self) -> Result<(), Violation> {
        let alive = self.machine.processes();
        self.no_walk_is_stale(&alive)?;
        let mut cached = std::mem::take(&mut self.cached);
        // What did not change is seen again after the next call.
        let mut rest = self.now.iter().peekable();
        let changed = |old: &&Seen| {
            while rest.next_if(|now| now.place() < old.place()).is_some() {}
            rest.peek().is_none_or(|now| now.place() != old.place() || now.entry.pte != old.entry.pte)
        };
        cached.extend(self.before.iter().filter(changed));
        cached.retain(|seen| {
            let LeafEntry { addr, level, .. } = seen.entry;
            alive.contains(&seen.pid) && !self.flushes.iter().any(|op| op.reaches::<A>(addr, level))
        });
        cached.sort_by_key(|seen| (seen.place(), seen.entry.pte.0));
        cached.dedup_by_key(|seen| (seen.place(), seen.entry.pte.0));
        for old in &cached {
            let now = self.at(old.place());
            if let Some(what) = self.outlives(old, now) {
                let now = now.map_or_else(|| "empty".to_owned(), Seen::text);
                let text = format!("{}: {what} and not flushed; now {now}", old.text());
                return Err(Violation::new(Check::Stale, text));
            }
        }
        self.cached = cached;
        Ok(())
    }

    /// No walk cache leads to a table that is gone.
    fn no_walk_is_stale(&self, alive: &[Pid]) -> Result<(), Violation> {
        let [before, now] = &self.tables;
        let gone = before.iter().filter(|table| alive.contains(&table.0) && !now.contains(table));
        for &(pid, addr, _) in gone {
            if !self.flushes.iter().any(|op| op.drops_walks::<A>(addr, Level::Pmd)) {
                let text =
                    format!("[pid {pid}] {addr}: its table is gone, and walk caches that lead to it stay");
                return Err(Violation::new(Check::Stale, text));
            }
        }
        Ok(())
    }

    /// What a cached translation allows that the entry there now does not.
    fn outlives(&self, old: &Seen, now: Option<&Seen>) -> Option<&'static str> {
        let (pte, level) = (old.entry.pte, old.entry.level);
        let arch = &self.machine.kernel.pt.arch;
        let sees = |seen: &&Seen| {
            seen.entry.level == level
                && seen.mapping().map(|m| m.pfn) == old.mapping().map(|m| m.pfn)
                && self.lets(seen.entry.pte, level, Access::Read)
        };
        // A walker that does not make entries young caches no old one.
        if arch.walk(pte, level, Access::Read) == Walk::Fault {
            return None;
        }
        let Some(now) = now.filter(sees) else { return Some("readable") };
        // Writes go through what is writable and dirty without a trace.
        let through = |pte| {
            let young = self.young(pte, level);
            arch.walk(young, level, Access::Write) == Walk::Allowed(young)
        };
        match through(pte) && !through(now.entry.pte) {
            true if self.lets(now.entry.pte, level, Access::Write) => Some("dirty"),
            true => Some("writable"),
            false => None,
        }
    }
}
