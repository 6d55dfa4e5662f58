//! Long runs: a bar on a terminal, and a clean stop on Ctrl-C.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Set by Ctrl-C.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

/// Whether it is.
pub(crate) fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// From now on, the first Ctrl-C, or SIGTERM, stops the run and prints what there is; the second ends the program.
pub(crate) fn stop_on_ctrl_c() {
    // Without a handler Ctrl-C ends the program at once, which is second best.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(crate::exit::STOPPED.into());
        }
        warn("stopping; Ctrl-C again ends at once");
    });
}

/// So many minutes.
pub(crate) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60))
}

/// A bar of so many steps, named by `unit`, on standard error; nothing where that is no terminal.
pub(crate) fn bar(steps: u128, unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX));
    let template = format!("{{bar:40}} {{human_pos}} of {{human_len}} {unit}, {{eta}} left");
    let style = ProgressStyle::with_template(&template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A bar of steps that may end earlier, at a time: what else it says, with the time that is left, is its message.
pub(crate) fn timed_bar(steps: u128, unit: &str) -> ProgressBar {
    let bar = bar(steps, unit);
    let template = format!("{{bar:40}} {{human_pos}} of {{human_len}} {unit}, {{msg}}");
    bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message("starting");
    bar
}

/// A count of steps whose number is not known before; nothing where standard error is no terminal.
pub(crate) fn spinner(unit: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let template = format!("{{spinner}} {{human_pos}} {unit}, {{per_sec}} {{msg}}");
    let style = ProgressStyle::with_template(&template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Says something on standard error that does not end the run.
pub(crate) fn warn(text: &str) {
    // Where standard error cannot be written, nobody reads it.
    let _ = writeln!(anstream::stderr(), "ptelab: {text}");
}
