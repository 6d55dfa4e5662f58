//! Kernels that agree on a scenario, and ranges of them.

use crate::compare::{Comparison, compare_pair};
use crate::report::RunReport;
use ptelab_scenario::Scenario;

/// The kernels of a port in groups that agree word for word, in the order of their first ones.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
pub struct Agreeing {
    /// The port.
    pub arch: &'static str,
    /// Its kernels.
    pub groups: Vec<Vec<&'static str>>,
}

/// The groups of each port.
pub fn agreeing(scenario: &Scenario, reports: &[RunReport]) -> Vec<Agreeing> {
    let mut all: Vec<(&'static str, Vec<Vec<&RunReport>>)> = Vec::new();
    for report in reports {
        let at = all.iter().position(|(arch, _)| *arch == report.arch).unwrap_or_else(|| {
            all.push((report.arch, Vec::new()));
            all.len() - 1
        });
        let groups = &mut all[at].1;
        let agrees = |group: &&mut Vec<&RunReport>| {
            compare_pair(scenario, group[0], report, Comparison::Raw).is_none()
        };
        match groups.iter_mut().find(agrees) {
            Some(group) => group.push(report),
            None => groups.push(vec![report]),
        }
    }
    let names = |group: Vec<&RunReport>| group.into_iter().map(|report| report.kernel).collect();
    let of_port = |(arch, groups): (&'static str, Vec<_>)| Agreeing {
        arch,
        groups: groups.into_iter().map(names).collect(),
    };
    all.into_iter().map(of_port).collect()
}

impl Agreeing {
    /// `arm64: 6.12; 6.16 to 6.17; 6.18`, where `kernels` are all that ran, in order.
    pub fn text(&self, kernels: &[&str]) -> String {
        let group = |group: &Vec<&str>| ranges(group, kernels);
        format!("{}: {}", self.arch, self.groups.iter().map(group).collect::<Vec<_>>().join("; "))
    }
}

/// Names of kernels, where more than two neighbours of a list are the first to the last of them.
pub fn ranges(names: &[&str], all: &[&str]) -> String {
    let place = |name: &&str| all.iter().position(|other| other == name);
    let neighbours = |a: &&str, b: &&str| place(a).zip(place(b)).is_some_and(|(a, b)| a + 1 == b);
    let range = |run: &[&str]| match run {
        [first, _, .., last] => format!("{first} to {last}"),
        few => few.join(", "),
    };
    names.chunk_by(neighbours).map(range).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_a_range() {
        let all = ["6.12", "6.16", "6.17", "6.18", "7.3"];
        let of = |names: &[&str]| ranges(names, &all);
        assert_eq!(of(&all), "6.12 to 7.3");
        assert_eq!(of(&["6.12", "6.16", "6.18"]), "6.12, 6.16, 6.18");
        assert_eq!(of(&["6.12", "6.17", "6.18", "7.3"]), "6.12, 6.17 to 7.3");
        assert_eq!(of(&["7.3"]), "7.3");
    }
}
