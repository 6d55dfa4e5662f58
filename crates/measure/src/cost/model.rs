//! What each thing that is counted costs, by port and kernel.

use ptelab_machine::mm::Rules;
use ptelab_machine::{Counter, Counters, KernelRules};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// One thing that costs instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// What is counted; nothing for the call itself.
    pub counter: Option<Counter>,
    /// Instructions that one takes on a kernel that nothing is known of: where data do not determine a coefficient, calibration
    /// stays near this.
    pub typical: u32,
}

impl Term {
    const fn of(counter: Counter, typical: u32) -> Self {
        Self { counter: Some(counter), typical }
    }

    /// The name it has in the coefficients.
    pub fn name(self) -> &'static str {
        self.counter.map_or("call", Counter::name)
    }

    /// How many of it there are in one call.
    pub fn count(self, counters: &Counters) -> u64 {
        self.counter.map_or(1, |counter| counters.get(counter))
    }
}

/// Everything that costs, from the call down to the entry.
pub const TERMS: &[Term] = &[
    Term { counter: None, typical: 500 },
    Term::of(Counter::MmapLocks, 400),
    Term::of(Counter::Gathers, 500),
    Term::of(Counter::VmaVisits, 400),
    Term::of(Counter::VmaChanges, 1000),
    Term::of(Counter::Charges, 300),
    Term::of(Counter::VmaTreesGrown, 100),
    Term::of(Counter::VmaTreesShrunk, 100),
    Term::of(Counter::VmaSplits, 2000),
    Term::of(Counter::AnonVmaLinks, 400),
    Term::of(Counter::VmaMerges, 2000),
    Term::of(Counter::VmasRemoved, 1000),
    Term::of(Counter::HolesMet, 400),
    Term::of(Counter::TableWalks, 200),
    Term::of(Counter::EmptyDirectories, 20),
    Term::of(Counter::EmptyEntries, 8),
    Term::of(Counter::NotPresent, 30),
    Term::of(Counter::Loads, 10),
    Term::of(Counter::Stores, 10),
    Term::of(Counter::Exchanges, 10),
    Term::of(Counter::PageLookups, 20),
    Term::of(Counter::SpecialEntries, 20),
    Term::of(Counter::Batches, 90),
    Term::of(Counter::LongBatches, 60),
    Term::of(Counter::BatchSteps, 50),
    Term::of(Counter::DirtyGathered, 5),
    Term::of(Counter::Commits, 60),
    Term::of(Counter::ExecCommits, 20),
    Term::of(Counter::FlushChecks, 15),
    Term::of(Counter::FlushRequests, 20),
    Term::of(Counter::WriteChecks, 40),
    Term::of(Counter::WriteUpgrades, 20),
    Term::of(Counter::ExclusiveReads, 15),
    Term::of(Counter::Folds, 500),
    Term::of(Counter::Unfolds, 400),
    Term::of(Counter::TlbFlushes, 300),
    Term::of(Counter::TlbiOps, 15),
    Term::of(Counter::HugeChanges, 200),
    Term::of(Counter::HugeSplits, 12_000),
];

/// What each term costs on one kernel of one port, in instructions.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Model {
    /// Port.
    pub arch: String,
    /// Kernel, by the name of its rules.
    pub kernel: String,
    /// By the names of the terms; one that is not there costs nothing.
    pub instructions: BTreeMap<String, f64>,
}

impl Model {
    #[cfg(feature = "calibrate")]
    /// Names the costs of all terms, to a tenth of an instruction.
    pub(crate) fn new(arch: &str, kernel: &str, costs: &[f64]) -> Self {
        let tenth = |cost: f64| (cost * 10.0).round() / 10.0;
        let named = TERMS.iter().zip(costs).map(|(term, &cost)| (term.name().to_owned(), tenth(cost)));
        let instructions = named.filter(|&(_, cost)| cost > 0.0).collect();
        Self { arch: arch.to_owned(), kernel: kernel.to_owned(), instructions }
    }

    /// What `calls` calls that counted this take together, term by term, without those that take nothing.
    pub fn parts(&self, calls: u64, counters: &Counters) -> Vec<(Term, f64)> {
        let part = |&term: &Term| {
            let n = if term.counter.is_none() { calls } else { term.count(counters) };
            (term, n as f64 * self.instructions.get(term.name()).copied().unwrap_or(0.0))
        };
        TERMS.iter().map(part).filter(|&(_, taken)| taken > 0.0).collect()
    }

    /// What `calls` calls that counted this take together.
    pub fn predict(&self, calls: u64, counters: &Counters) -> f64 {
        self.parts(calls, counters).iter().map(|(_, taken)| taken).sum()
    }
}

/// What was calibrated: a model for every port and kernel that there is data of.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Models {
    /// Names of the workloads that calibration saw.
    pub workloads: Vec<String>,
    /// By port and kernel.
    #[serde(rename = "model")]
    pub models: Vec<Model>,
}

/// Coefficients that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// They are not TOML, or not of this shape.
    #[error("not coefficients of a cost model: {0}")]
    Toml(#[from] toml::de::Error),
    /// A term is not known, or its cost is no cost.
    #[error("coefficient `{name}` of {arch} {kernel}: {value} is not a cost of a known kind")]
    Term {
        /// Port.
        arch: String,
        /// Kernel.
        kernel: String,
        /// The term.
        name: String,
        /// Its cost.
        value: f64,
    },
}

/// The model that a machine is predicted by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chosen<'a> {
    /// The model.
    pub model: &'a Model,
    /// Whether it is that of another kernel, as there is none of this one.
    pub borrowed: bool,
}

impl Models {
    /// The models that this program was built with.
    pub fn built_in() -> &'static Self {
        static MODELS: LazyLock<Models> = LazyLock::new(|| {
            Models::parse(include_str!("coefficients.toml")).expect("a test holds them against a calibration")
        });
        &MODELS
    }

    /// Reads coefficients.
    ///
    /// # Errors
    /// Where they are not of the shape, or name a term that is not known.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let models: Self = toml::from_str(text)?;
        for Model { arch, kernel, instructions } in &models.models {
            let known = |name: &str| TERMS.iter().any(|term| term.name() == name);
            let wrong =
                instructions.iter().find(|(name, cost)| !known(name) || !cost.is_finite() || **cost < 0.0);
            if let Some((name, &value)) = wrong {
                let (arch, kernel, name) = (arch.clone(), kernel.clone(), name.clone());
                return Err(ModelError::Term { arch, kernel, name, value });
            }
        }
        Ok(models)
    }

    /// As the file that [`parse`](Self::parse) reads.
    ///
    /// # Panics
    /// Never: names and numbers can be written.
    pub fn to_toml(&self) -> String {
        let data = toml::to_string_pretty(self).expect("names and numbers can be written");
        format!(
            "# Instructions that each counted thing takes. Written by\n\
             # `ptelab cost --calibrate fixtures/cost/*.json`; a test holds it against the files.\n\n{data}"
        )
    }

    /// The model of a kernel; where there is none, that of the port's nearest kernel: one that changes as many entries at a
    /// time, if there is one, else the next in age. `None` where nothing is known of the port.
    pub fn choose(&self, arch: &str, rules: &KernelRules) -> Option<Chosen<'_>> {
        let age =
            |of: &KernelRules| KernelRules::ALL.iter().filter(|known| known.release < of.release).count();
        let batches = |of: &KernelRules| of.has(Rules::mprotect_batches);
        let distance = |model: &&Model| {
            let of = KernelRules::by_name(&model.kernel)?;
            let (own, other) = (age(rules), age(of));
            Some((batches(of) != batches(rules), own.abs_diff(other), own > other))
        };
        let of_port = self.models.iter().filter(|model| model.arch == arch);
        let (_, model) =
            of_port.filter_map(|model| Some((distance(&model)?, model))).min_by_key(|&(d, _)| d)?;
        Some(Chosen { model, borrowed: model.kernel != rules.name })
    }
}
