//! Learning a kernel from what it does: here an emulated one stands for the real one.

use ptelab::compare::{Comparison, compare_pair};
use ptelab::exec::Watch;
use ptelab::golden::GoldenError;
use ptelab::real::VerifyError;
use ptelab::real::learn::{self, Learned, RowValue, Unplayed};
use ptelab::scenario::Scenario;
use ptelab::{Builder, KernelRules, RunReport};

struct Emulated {
    port: &'static str,
    kernel: &'static KernelRules,
}

impl Emulated {
    fn run(&self, probe: &Scenario, rules: &'static KernelRules) -> Result<RunReport, GoldenError> {
        let mut vm = Builder::new(self.port).kernel(rules).build()?;
        Ok(RunReport::of(&mut *vm, probe, Watch::nobody()))
    }
}

impl Learned for Emulated {
    type Played = (Scenario, RunReport);

    fn port(&self) -> &'static str {
        self.port
    }

    fn probe(
        &mut self,
        _: &str,
        probe: &Scenario,
        _: Watch<'_>,
    ) -> Result<Result<Self::Played, Unplayed>, VerifyError> {
        Ok(Ok((probe.clone(), self.run(probe, self.kernel)?)))
    }

    fn differences(
        &self,
        (probe, played): &Self::Played,
        rules: &'static KernelRules,
    ) -> Result<Vec<String>, GoldenError> {
        let other = self.run(probe, rules)?;
        let shown = compare_pair(probe, &other, played, Comparison::Raw);
        Ok(shown.map_or_else(Vec::new, |shown| shown.differences))
    }

    fn lacks(&self, _: &dyn Fn(&Builder) -> bool) -> Option<String> {
        None
    }
}

/// A release that nobody entered is learned as it is: no row is mistaken, and nearly all of those that show are decided.
#[test]
fn a_forgotten_release_is_learned() {
    for port in ["arm64", "x86_64"] {
        for kernel in KernelRules::asked() {
            let known = learn::known_but_for(&[kernel.name.to_owned()]).expect("it was asked");
            assert!(!known.contains(&kernel));
            let mut emulated = Emulated { port, kernel };
            let lesson = learn::learn(&mut emulated, ("learned", None), &known, Watch::nobody(), &|_| ())
                .expect("no kernel is lost");
            let mut decided = 0;
            for row in &lesson.rows {
                if let RowValue::Decided(holds, _) = row.value {
                    let id = row.change.id;
                    assert_eq!(holds, kernel.has(row.change), "{id} of {} on {port}", kernel.name);
                    assert_eq!(holds, lesson.rules.has(row.change), "{id} is in the rules");
                    decided += 1;
                }
            }
            assert!(decided >= 20, "{} on {port}: {:#?}", kernel.name, lesson.rows);
        }
    }
}

#[test]
fn only_releases_that_were_asked_are_forgotten() {
    let error = learn::known_but_for(&["6.17-rc1".to_owned()]).unwrap_err();
    assert!(error.contains("`6.17-rc1` is no release to forget"), "{error}");
}
