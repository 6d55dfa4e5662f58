//! What a question is asked of, and why it has no answer.

use ptelab::scenario::{Diagnostics, Scenario};
use ptelab::{BuildError, Matrix, SelectError};
use serde::Deserialize;

/// Machines side by side, as the command line has them.
#[derive(Debug, Deserialize)]
pub(crate) struct Machines {
    pub(crate) ports: String,
    pub(crate) kernels: String,
}

impl Machines {
    pub(crate) fn matrix(&self) -> Result<Matrix, SelectError> {
        Matrix::new().ports(&self.ports)?.kernels(&self.kernels)
    }

    /// Those of them that have pages as the scenario is written for.
    pub(crate) fn matrix_for(&self, scenario: &Scenario) -> Result<Matrix, SelectError> {
        self.matrix()?.for_pages_of(scenario)
    }
}

/// Why there is no other answer.
#[derive(Debug)]
pub(crate) enum Refused {
    Mistakes(Diagnostics),
    Other(String),
}

impl From<Diagnostics> for Refused {
    fn from(mistakes: Diagnostics) -> Self {
        Self::Mistakes(mistakes)
    }
}

impl From<SelectError> for Refused {
    fn from(error: SelectError) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<BuildError> for Refused {
    fn from(error: BuildError) -> Self {
        Self::Other(error.to_string())
    }
}
