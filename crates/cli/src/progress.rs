//! Long runs: a bar on a terminal, and a clean stop on Ctrl-C.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two lines about a long run.
const EVERY: Duration = Duration::from_secs(10);

/// Set by Ctrl-C.
pub(crate) static STOP: AtomicBool = AtomicBool::new(false);

/// Whether it is.
pub(crate) fn stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Set where a screen is drawn, which a message would spoil.
static HUSHED: AtomicBool = AtomicBool::new(false);

/// From now on, Ctrl-C stops without a word.
pub(crate) fn hush() {
    HUSHED.store(true, Ordering::Relaxed);
}

/// From now on, the first Ctrl-C, or SIGTERM, stops the run and prints what there is; the second ends the program.
pub(crate) fn stop_on_ctrl_c() {
    stop_on("stopping; Ctrl-C again ends at once");
}

/// The same, with what is said at the first.
pub(crate) fn stop_on(saying: &'static str) {
    // Without a handler Ctrl-C ends the program at once, which is second best.
    let _ = ctrlc::set_handler(move || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(crate::exit::STOPPED.into());
        }
        if !HUSHED.load(Ordering::Relaxed) {
            warn(saying);
        }
    });
}

/// So many minutes.
pub(crate) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60))
}

/// A bar of so many steps, named by `unit`, on standard error; where that is no terminal, a line every ten seconds.
pub(crate) fn bar(steps: u128, unit: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX));
    let template = format!("{{bar:40}} {{human_pos}} of {{human_len}} {unit}, {{eta}} left");
    let style = ProgressStyle::with_template(&template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    told(bar, unit)
}

/// A bar of steps that may end earlier, at a time: what else it says, with the time that is left, is its message.
pub(crate) fn timed_bar(steps: u128, unit: &'static str) -> ProgressBar {
    let bar = bar(steps, unit);
    let template = format!("{{bar:40}} {{human_pos}} of {{human_len}} {unit}, {{msg}}");
    bar.set_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message("starting");
    bar
}

/// A count of steps whose number is not known before.
pub(crate) fn spinner(unit: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let template = format!("{{spinner}} {{human_pos}} {unit}, {{per_sec}} {{msg}}");
    let style = ProgressStyle::with_template(&template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    told(bar, unit)
}

/// Says on standard error what a long run does next.
pub(crate) fn stage(text: impl AsRef<str>) {
    warn(text.as_ref());
}

/// Where standard error is no terminal, says every ten seconds how far a bar has come, from its first step until it is finished.
fn told(bar: ProgressBar, unit: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        let bar = bar.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(EVERY);
                if bar.is_finished() || stopped() {
                    return;
                }
                if bar.position() > 0 || !bar.message().is_empty() {
                    warn(&told_text(&bar, unit));
                }
            }
        });
    }
    bar
}

/// `120 of 500 programs: 2 kinds differ`
fn told_text(bar: &ProgressBar, unit: &str) -> String {
    let of = bar
        .length()
        .filter(|steps| *steps < u64::MAX)
        .map_or_else(String::new, |steps| format!(" of {steps}"));
    let message = bar.message();
    let more = if message.is_empty() { message } else { format!(": {message}") };
    format!("{}{of} {unit}{more}", bar.position())
}

/// Says something on standard error that does not end the run.
pub(crate) fn warn(text: &str) {
    // Where standard error cannot be written, nobody reads it.
    let _ = writeln!(anstream::stderr(), "ptelab: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_told_in_words() {
        let bar = ProgressBar::hidden();
        bar.set_position(7);
        assert_eq!(told_text(&bar, "programs"), "7 programs");
        bar.set_length(500);
        bar.set_message("2 kinds differ");
        assert_eq!(told_text(&bar, "programs"), "7 of 500 programs: 2 kinds differ");
    }
}
