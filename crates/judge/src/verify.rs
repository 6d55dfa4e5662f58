//! Holding a machine against a golden file.

use crate::golden::{GUEST_MEMORY, Golden, GoldenCall, GoldenError, GoldenVma, TEST_AREA};
use crate::verdict::{self, Recorded, Verdict};
use ptelab_machine::{Backend, Builder, Difference, KernelRules, Outcome, Release, Run, Snapshot};
use ptelab_run::compare::same_raw;
use ptelab_run::kernels::{self, NamedKernel};

/// The emulated machine beside a real kernel.
#[derive(Clone, Debug)]
#[cfg_attr(
    not(all(feature = "real", target_os = "linux")),
    expect(dead_code, unreachable_pub, reason = "real kernels hand it on, and read its rules")
)]
pub struct Beside {
    /// How it is built.
    pub machine: Builder,
    /// Its rules.
    pub rules: &'static KernelRules,
    /// Where these are not the kernel's own: whose they are.
    pub note: Option<String>,
}

impl Golden {
    /// Runs the file's scenario on a machine of its kind and compares.
    ///
    /// # Errors
    /// Where the file is not usable; a difference is none.
    pub fn verify(&self, file: &str) -> Result<Verdict, GoldenError> {
        let named = Release::parse(&self.kernel).and_then(kernels::of_release);
        let NamedKernel { rules, note } = named.ok_or_else(|| GoldenError::Kernel(self.kernel.clone()))?;
        let machine = Builder::new(&self.arch).memory(self.memory()).kernel(rules);
        self.verify_on(file, &Beside { machine, rules, note })
    }

    /// Memory of its machine, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory_mib.map_or(GUEST_MEMORY, |mib| mib.saturating_mul(1 << 20))
    }

    /// Runs its scenario on the machine beside its kernel, and compares.
    pub(crate) fn verify_on(&self, file: &str, beside: &Beside) -> Result<Verdict, GoldenError> {
        let scenario = self.scenario()?;
        let mut vm = beside.machine.build()?;
        let verdict = Verdict {
            file: file.to_owned(),
            arch: self.arch.clone(),
            kernel: self.kernel.clone(),
            notes: beside.note.iter().cloned().collect(),
            ..Verdict::default()
        };
        verdict::compare(self, &mut *vm, &scenario, verdict)
    }
}

impl Recorded for Golden {
    fn calls(&self) -> Vec<&str> {
        self.calls.iter().map(|call| call.call.as_str()).collect()
    }

    fn differing_call(&self, n: usize, outcome: Outcome) -> Option<String> {
        let golden = &self.calls[n];
        let got = GoldenCall::new(String::new(), outcome);
        if (&got.ret, &got.errno, &got.signal) == (&golden.ret, &golden.errno, &golden.signal) {
            return None;
        }
        let wanted = golden.ret.as_deref().or(golden.errno.as_deref()).or(golden.signal.as_deref());
        Some(format!("{outcome}, the kernel {}", wanted.unwrap_or("nothing")))
    }

    fn dumps(&self) -> Vec<&str> {
        self.dumps.iter().map(|dump| dump.name.as_str()).collect()
    }

    fn differing_dump(
        &self,
        n: usize,
        vm: &dyn Backend,
        pid: u32,
        snapshot: &Snapshot,
    ) -> Result<Vec<String>, GoldenError> {
        let golden = &self.dumps[n];
        let vmas = vm.vmas(pid, TEST_AREA.0, TEST_AREA.1 - TEST_AREA.0).unwrap_or_default();
        let vmas: Vec<GoldenVma> = vmas.iter().map(GoldenVma::new).collect();
        let mut found: Vec<String> = golden.differing_range(snapshot).into_iter().collect();
        found.extend(verdict::differing_vmas(&vmas, &golden.vmas));
        let wanted = golden.runs(snapshot, vm.words())?;
        let got = snapshot.runs.as_golden(self.slots);
        let differing = got.differences(&wanted, same_raw);
        found.extend(differing.iter().map(|difference| describe(vm, difference)));
        Ok(found)
    }
}

fn describe(vm: &dyn Backend, d: &Difference) -> String {
    let side = |run: &Option<Run>| match run {
        None => "nothing".to_owned(),
        Some(run) if run.is_none() => "empty".to_owned(),
        Some(run) => {
            let page = run.page.map_or(String::new(), |page| {
                format!(
                    " folio {} of {} at {}, mapped {}",
                    page.folio, page.folio_pages, page.offset, page.mapcount
                )
            });
            let pagemap = run.pagemap.map_or(String::new(), |bits| format!(" pagemap {:#05x}", bits.bits()));
            let pte = ptelab_machine::Pte(run.bits);
            format!("{:#018x} {}{page}{pagemap}", run.bits, vm.words().describe(pte, run.level))
        }
    };
    format!("{}..{}: {}; the kernel {}", d.start, d.end, side(&d.left), side(&d.right))
}
