//! Kernel images that are learned.

use super::VerifyError;
use super::learn::{Learned, Unplayed};
use super::qemu::{Image, Player};
use crate::golden::{Golden, GoldenError};
use crate::verdict::{self, Verdict};
use ptelab_machine::mm::Absent;
use ptelab_machine::{Builder, KernelRules};
use ptelab_run::exec::Watch;
use ptelab_scenario::Scenario;

/// A kernel image that is learned.
#[derive(Debug)]
pub struct LearnedImage {
    player: Player,
    machine: Builder,
    missing: Vec<(Absent, String)>,
    goldens: Vec<Golden>,
}

impl LearnedImage {
    /// Boots it.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn new(image: &Image) -> Result<Self, VerifyError> {
        let mut player = image.player()?;
        let machine = player.beside(None)?.machine;
        let missing = player.absent()?;
        Ok(Self { player, machine, missing, goldens: Vec::new() })
    }

    /// What it made of the probes so far, as golden files have it.
    pub fn goldens(&self) -> &[Golden] {
        &self.goldens
    }

    /// What plays on it.
    pub const fn player(&mut self) -> &mut Player {
        &mut self.player
    }
}

impl Learned for LearnedImage {
    type Played = Golden;

    fn port(&self) -> &'static str {
        self.player.port()
    }

    fn probe(
        &mut self,
        id: &str,
        probe: &Scenario,
        watch: Watch<'_>,
    ) -> Result<Result<Golden, Unplayed>, VerifyError> {
        if let Some(why) = self.player.image().why_not(probe) {
            return Ok(Err(Unplayed::Because(why)));
        }
        let name = format!("row-{}", id.replace('_', "-"));
        let played = self.player.golden(&name, probe, watch)?;
        self.goldens.extend(played.clone());
        Ok(played.ok_or(Unplayed::Stopped))
    }

    fn differences(&self, played: &Golden, rules: &'static KernelRules) -> Result<Vec<String>, GoldenError> {
        let mut vm = self.machine.clone().kernel(rules).build()?;
        Ok(verdict::compare(played, &mut *vm, &played.scenario()?, Verdict::default())?.differences)
    }

    fn lacks(&self, decides: &dyn Fn(&Builder) -> bool) -> Option<String> {
        let whole = self.machine.clone().without(Absent::empty());
        if !decides(&whole) {
            return None;
        }
        let blamed = self.missing.iter().find(|(absent, _)| !decides(&whole.clone().without(*absent)));
        Some(blamed.map_or_else(
            || "not visible with this kernel's configuration".to_owned(),
            |(_, text)| text.clone(),
        ))
    }
}
