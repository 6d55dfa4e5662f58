//! Which rules make two kernels differ: each row that only one of them has is switched alone, and the same is played again.

use crate::compare::{Comparison, Deciding, Differing, compare_pair};
use crate::exec::Watch;
use crate::kernels;
use crate::matrix::{Matrix, Subject};
use crate::report::RunReport;
use ptelab_machine::{BuildError, Change, KernelRules};
use ptelab_scenario::Scenario;

/// What lies between two machines of one port: each of them with one row as the other has it.
#[derive(Clone, Debug)]
pub struct Between {
    left: Subject,
    right: Subject,
    rules: [&'static KernelRules; 2],
    rows: Vec<&'static Change>,
}

impl Between {
    /// What lies between a machine and another of its port.
    pub fn new(left: &Subject, right: &Subject) -> Self {
        let rules = [left.builder.rules(), right.builder.rules()];
        let rows = kernels::differences(rules[0], rules[1])
            .filter(|(owner, row)| kernels::concerns(Some(left.arch), owner, row));
        let rows = rows.map(|(_, row)| row).collect();
        Self { left: left.clone(), right: right.clone(), rules, rows }
    }

    /// Each machine of a matrix with the one before it of its port, by their numbers.
    pub fn neighbours(subjects: &[Subject]) -> Vec<(usize, usize, Self)> {
        let before = |at: usize| subjects[..at].iter().rposition(|other| other.arch == subjects[at].arch);
        let pairs = (0..subjects.len()).filter_map(|at| Some((before(at)?, at)));
        pairs.map(|(a, b)| (a, b, Self::new(&subjects[a], &subjects[b]))).collect()
    }

    /// The machines between: the left one with each row as the right one has it, then the right one with each as the left one has
    /// it.
    pub fn machines(&self) -> Matrix {
        let [left, right] = self.rules;
        let sides = [(&self.left, left, right), (&self.right, right, left)];
        let mut matrix = Matrix::none();
        for (subject, own, other) in sides {
            for row in &self.rows {
                let rules = own.with(row, other.has(row));
                matrix = matrix.and(subject.arch, rules, subject.builder.clone());
            }
        }
        matrix
    }

    /// The rules that decide something. `played` is what came of each of the [`machines`](Self::machines); `is_left` and `is_right`
    /// say whether that is as on either side. One that makes the whole difference by itself is preferred to those that make a part.
    pub fn deciding<T>(
        &self,
        played: &[T],
        is_left: impl Fn(&T) -> bool,
        is_right: impl Fn(&T) -> bool,
    ) -> Vec<Deciding> {
        let (from_left, from_right) = played.split_at(self.rows.len().min(played.len()));
        let rows = |holds: &dyn Fn((&T, &T)) -> bool| -> Vec<Deciding> {
            let both = self.rows.iter().zip(from_left.iter().zip(from_right));
            both.filter(|(_, pair)| holds(*pair)).map(|(row, _)| self.named(row)).collect()
        };
        let whole = [rows(&|(a, _)| is_right(a)), rows(&|(_, b)| is_left(b))];
        let found = whole.into_iter().find(|found| !found.is_empty());
        found.unwrap_or_else(|| rows(&|(a, b)| !is_left(a) || !is_right(b)))
    }

    fn named(&self, row: &'static Change) -> Deciding {
        let [left, right] = self.rules;
        let (with, without) = if left.has(row) { (left, right) } else { (right, left) };
        Deciding { id: row.id, what: row.what(), holds_in: with.name, not_in: without.name }
    }
}

/// Names the rules that make kernels of one port differ, each pair of neighbours by playing the scenario again on what lies between them.
///
/// # Errors
/// Where a machine cannot be built.
pub fn name_rules(
    differing: &mut [Differing],
    (matrix, scenario): (&Matrix, &Scenario),
    reports: &[RunReport],
    watch: Watch<'_>,
) -> Result<(), BuildError> {
    for (left, right, between) in Between::neighbours(&matrix.subjects()) {
        let (Some(left), Some(right)) = (reports.get(left), reports.get(right)) else { continue };
        let is_pair = |pair: &&mut Differing| pair.left == left.machine() && pair.right == right.machine();
        if let Some(pair) = differing.iter_mut().find(is_pair) {
            let played = between.machines().run(scenario, watch)?;
            let is = |report: &RunReport, side: &RunReport| {
                compare_pair(scenario, side, report, Comparison::Raw).is_none()
            };
            if !watch.stopped() {
                pair.rules = between.deciding(&played, |one| is(one, left), |one| is(one, right));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare;
    use ptelab_machine::mm::Rules;
    use ptelab_machine::pgtable::{Probe, Shows};

    /// The rules that are named for a scenario on these ports and kernels.
    fn named(ports: &str, kernels: &str, text: &str) -> Vec<Deciding> {
        let scenario = ptelab_scenario::parse(text).expect("it is a scenario");
        let matrix = Matrix::new().ports(ports).and_then(|matrix| matrix.kernels(kernels)).expect("known");
        let reports = matrix.run(&scenario, Watch::nobody()).expect("they are built");
        let (_, mut differing) = compare(&scenario, &reports);
        name_rules(&mut differing, (&matrix, &scenario), &reports, Watch::nobody()).expect("they are built");
        differing.into_iter().flat_map(|pair| pair.rules).collect()
    }

    #[test]
    fn each_row_that_a_scenario_shows_is_named_by_it() {
        let mut shown = 0;
        for row in Rules::CHANGES {
            let Probe::Plays { scenario, shows } = row.probe else { continue };
            let turns = [
                |row: &Change, rules: &KernelRules| rules.has(row),
                |row: &Change, rules: &KernelRules| !rules.has(row),
            ];
            let turn = turns.iter().find_map(|holds| KernelRules::turn(|rules| holds(row, rules)));
            if let (Some((old, new)), true) = (turn, shows != Shows::Counts) {
                let found = named("all", &format!("{},{}", old.name, new.name), scenario);
                assert!(found.iter().any(|rule| rule.id == row.id), "{}: {found:?}", row.id);
                shown += 1;
            }
        }
        assert!(shown > 10, "{shown}");
    }

    #[test]
    fn a_rule_that_needs_another_is_named_with_it_unless_both_kernels_have_that() {
        let Probe::Plays { scenario, .. } = Rules::exclusive_from_folio_head.probe else {
            panic!("it plays")
        };
        let of = |kernels| -> Vec<_> {
            named("arm64", kernels, scenario)
                .iter()
                .map(|rule| (rule.id, rule.holds_in, rule.not_in))
                .collect()
        };
        let head = "exclusive_from_folio_head";
        assert_eq!(of("6.17-rc1,6.17"), [(head, "6.17-rc1", "6.17")]);
        assert_eq!(of("6.17,6.17-rc1"), [(head, "6.17-rc1", "6.17")]);
        assert_eq!(of("6.16,6.17-rc1"), ["mprotect_batches", head].map(|id| (id, "6.17-rc1", "6.16")));
    }
}
