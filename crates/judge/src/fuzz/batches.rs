//! Programs about batches: the pages of a few large folios are made to differ in all that entries record, and then one call covers them all.

use super::program::{BASE, READ, RW, Size, Theme, Writer};
use arbitrary::{Result, Unstructured};
use ptelab_machine::{Access, Advice, Call, MapFlags, MremapFlags, Switch, ThpKey, ThpMode};
use ptelab_scenario::Line;

/// The program that these bytes say.
///
/// # Errors
/// Never for want of bytes: where they end, the smallest choices are made.
pub(super) fn program_about_batches(bytes: &[u8], size: Size) -> Result<Vec<Line>> {
    let mut u = Unstructured::new(bytes);
    let theme = if u.ratio(1, 3)? { Theme::Userfaultfd } else { Theme::Plain };
    let mut writer = Writer::new(u, size, theme);
    let pages = writer.folios()?;
    for _ in 0..writer.u.int_in_range(2..=5)? {
        for _ in 0..writer.u.int_in_range(1..=3)? {
            writer.differ(pages)?;
        }
        writer.over_all(pages)?;
    }
    Ok(writer.lines)
}

impl Writer<'_> {
    /// Memory in large folios: how many pages.
    fn folios(&mut self) -> Result<u64> {
        let Size { page, block, pages, .. } = self.size;
        let folio = *self.u.choose(&[block, 2 * block, 2 * block, 4 * block])?;
        let kb = folio * page / 1024;
        let pages = *self.u.choose(&[folio, pages.min(4 * block)])?;
        let (addr, len) = (BASE, pages * self.size.page);
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS;
        self.push(
            1,
            Call::Mmap { addr, len: self.size.pages * self.size.page, prot: RW, flags, fd: -1, offset: 0 },
        );
        if self.theme == Theme::Userfaultfd {
            self.uffd(1, (addr, len))?;
            self.push(1, Call::UffdWp { addr, len, how: Switch::Off });
        }
        self.push(1, Call::Thp { size: ThpKey::Kb(kb), mode: ThpMode::Always });
        self.push(1, Call::Memset { addr, byte: 7, len });
        self.push(1, Call::Thp { size: ThpKey::Kb(kb), mode: ThpMode::Never });
        Ok(pages)
    }

    /// Some of the pages: as often as not whole blocks.
    fn some(&mut self, pages: u64) -> Result<(u64, u64)> {
        let step = *self.u.choose(&[1, 4, self.size.block, self.size.block])?;
        let at = self.u.int_in_range(0..=pages - 1)? / step * step;
        let len = match self.u.int_in_range(0..=3u8)? {
            0 => 1,
            1 => self.u.int_in_range(1..=8)?,
            _ => self.size.block,
        };
        Ok((self.here + at * self.size.page, len.min(pages - at) * self.size.page))
    }

    /// Some of the pages become other than the rest, in one respect.
    fn differ(&mut self, pages: u64) -> Result<()> {
        let pid = self.pid()?;
        let (addr, len) = self.some(pages)?;
        let all = (self.here, pages * self.size.page);
        let advise = |writer: &mut Self, advice| writer.push(pid, Call::Madvise { addr, len, advice });
        match self.u.int_in_range(0..=15u8)? {
            0..=2 => self.push(pid, Call::Touch { addr, len, access: Access::Write }),
            3 => advise(self, Advice::FREE),
            4 => self.push(pid, Call::Madvise { addr: all.0, len: all.1, advice: Advice::FREE }),
            5 => advise(self, Advice::COLD),
            6 => advise(self, Advice::DONTNEED),
            7..=8 => self.fork_and_exit(pid),
            9 => self.fork(pid, None)?,
            10 => self.fork(pid, Some((addr, len)))?,
            11 => {
                self.push(pid, Call::Mprotect { addr, len, prot: READ });
                self.push(pid, Call::Mprotect { addr, len, prot: RW });
            }
            12 => {
                let what = *self.u.choose(&[4, 1])?;
                self.push(pid, Call::ClearRefs { what });
            }
            13 => {
                self.push(pid, Call::Munmap { addr, len });
                let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED;
                self.push(pid, Call::Mmap { addr, len, prot: RW, flags, fd: -1, offset: 0 });
            }
            _ if self.theme == Theme::Userfaultfd => {
                let how = *self.u.choose(&[Switch::On, Switch::On, Switch::Off])?;
                self.push(pid, Call::UffdWp { addr, len, how });
            }
            _ => self.push(pid, Call::Touch { addr, len, access: Access::Read }),
        }
        Ok(())
    }

    /// A call, or two, over all of the pages.
    fn over_all(&mut self, pages: u64) -> Result<()> {
        let pid = self.pid()?;
        let (addr, len) = (self.here, pages * self.size.page);
        match self.u.int_in_range(0..=11u8)? {
            0..=1 => self.push(pid, Call::Mprotect { addr, len, prot: READ }),
            2..=6 => {
                self.push(pid, Call::Mprotect { addr, len, prot: READ });
                self.push(pid, Call::Mprotect { addr, len, prot: RW });
            }
            7..=8 => self.mremap(pid, (addr, len))?,
            9 if self.theme == Theme::Userfaultfd => {
                self.push(pid, Call::UffdWp { addr, len, how: Switch::On });
            }
            9 => {
                let new_addr = BASE + super::program::ELSEWHERE - self.here;
                let flags = MremapFlags::MAYMOVE | MremapFlags::FIXED;
                self.push(pid, Call::Mremap { old_addr: addr, old_len: len, new_len: len, flags, new_addr });
                let (old_addr, new_addr) = (new_addr, addr);
                self.push(pid, Call::Mremap { old_addr, old_len: len, new_len: len, flags, new_addr });
            }
            10 => self.fork(pid, None)?,
            _ => self.push(pid, Call::Touch { addr, len, access: Access::Write }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::fuzz::{Coverage, Plan, Planned, Size, batches_of, vary};
    use fastrand::Rng;
    use ptelab_machine::KernelRules;
    use ptelab_scenario::Line;

    /// Programs that are right on the emulator are so on kernels.
    #[test]
    fn programs_and_those_like_them_hold_on_the_emulator() {
        let plan = Plan::new(vec!["arm64"], vec![KernelRules::of_release(KernelRules::OLDEST)], Size::SMALL);
        let mut rng = Rng::with_seed(7);
        for case in 0..60 {
            let lines = batches_of(3, case, Size::SMALL);
            let like = vary(&lines, &batches_of(4, case, Size::SMALL), Size::SMALL, &mut rng);
            for lines in [lines, like] {
                let text: Vec<String> = lines.iter().map(Line::to_string).collect();
                let parsed = ptelab_scenario::parse(&text.join("\n")).expect("it is a scenario");
                assert_eq!(parsed.step_count(), lines.len() as u128, "{}", text.join("\n"));
                let done = plan.run(case, &lines, &mut Coverage::default());
                assert!(done.is_ok(), "{done:?}");
            }
        }
    }
}
