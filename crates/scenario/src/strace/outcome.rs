//! What follows the arguments: result, error, time.

use crate::strace::entry::LoggedOutcome;
use crate::strace::value::{annotation, not, number, shown};
use ptelab_uapi::Errno;

/// What a call came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Returned {
    pub(super) outcome: LoggedOutcome,
    pub(super) path: Option<String>,
    pub(super) duration: Option<f64>,
}

/// Reads ` = 3</path> <0.000012>`.
pub(super) fn returned(text: &[u8]) -> Result<Returned, String> {
    let text = text.trim_ascii();
    let Some(result) = text.strip_prefix(b"=") else {
        return Err(match text {
            [] => "no result follows the arguments".to_owned(),
            _ => not(text, "a result: expected `= ` and a number"),
        });
    };
    let (result, duration) = duration(result.trim_ascii());
    let (word, rest) = first_word(result);
    let outcome = outcome(word, rest).ok_or_else(|| not(result, "a result"))?;
    Ok(Returned { outcome, path: annotation(rest).map(|(path, _)| path), duration })
}

fn outcome(word: &str, rest: &[u8]) -> Option<LoggedOutcome> {
    if word == "?" {
        let restarted = rest.trim_ascii_start().starts_with(b"ERESTART");
        return Some(if restarted { LoggedOutcome::Restarted } else { LoggedOutcome::Unknown });
    }
    let value = number(word)?;
    if word.starts_with('-') { Some(failed(word, rest)) } else { Some(LoggedOutcome::Value(value)) }
}

/// `-1 ENOMEM (...)`, `-1 (errno 12)`, or the kernel's own `-12`.
fn failed(word: &str, rest: &[u8]) -> LoggedOutcome {
    let rest = rest.trim_ascii_start();
    let by_number = |number: &str| number.parse().ok().and_then(Errno::from_number);
    let (name, _) = first_word(rest);
    if name.starts_with('E') {
        return Errno::from_name(name)
            .map_or_else(|| LoggedOutcome::FailedOther(name.to_owned()), LoggedOutcome::Failed);
    }
    let numbered = rest.strip_prefix(b"(errno ").and_then(|rest| by_number(first_word(rest).0));
    numbered
        .or_else(|| by_number(word.trim_start_matches('-')))
        .map_or_else(|| LoggedOutcome::FailedOther(shown(word.as_bytes(), word.len())), LoggedOutcome::Failed)
}

/// Takes `<0.000012>` off the end.
fn duration(text: &[u8]) -> (&[u8], Option<f64>) {
    let found = text.strip_suffix(b">").and_then(|inner| {
        let open = inner.iter().rposition(|&byte| byte == b'<')?;
        let seconds = std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()?;
        Some((text[..open].trim_ascii_end(), seconds))
    });
    found.map_or((text, None), |(rest, seconds)| (rest, Some(seconds)))
}

fn first_word(text: &[u8]) -> (&str, &[u8]) {
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'?');
    let end = text.iter().position(|byte| !inside(byte)).unwrap_or(text.len());
    // Only ASCII was taken.
    (std::str::from_utf8(&text[..end]).unwrap_or(""), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::returned;
    use crate::strace::entry::LoggedOutcome;
    use ptelab_uapi::Errno;

    #[test]
    fn every_kind_of_result() {
        for (text, outcome, path, duration) in [
            (" = 0", LoggedOutcome::Value(0), None, None),
            (
                "     = 0x7f89f054d000 <0.000012>",
                LoggedOutcome::Value(0x7f89_f054_d000),
                None,
                Some(0.000_012),
            ),
            (" = 3</a b> <0.5>", LoggedOutcome::Value(3), Some("/a b"), Some(0.5)),
            (" = 0 (Timeout)", LoggedOutcome::Value(0), None, None),
            (" = 1 ([{fd=3, revents=POLLIN}])", LoggedOutcome::Value(1), None, None),
            (
                " = -1 EFAULT (Bad address) <0.000001>",
                LoggedOutcome::Failed(Errno::EFAULT),
                None,
                Some(0.000_001),
            ),
            (" = -1 (errno 12)", LoggedOutcome::Failed(Errno::ENOMEM), None, None),
            (" = -22", LoggedOutcome::Failed(Errno::EINVAL), None, None),
            (" = -1 EBADMSG (Bad message)", LoggedOutcome::FailedOther("EBADMSG".to_owned()), None, None),
            (" = ? ERESTARTSYS (To be restarted if SA_RESTART is set)", LoggedOutcome::Restarted, None, None),
            (" = ?", LoggedOutcome::Unknown, None, None),
        ] {
            let found = returned(text.as_bytes()).expect(text);
            assert_eq!(
                (found.outcome, found.path.as_deref(), found.duration),
                (outcome, path, duration),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_result_is_named() {
        let wrong = |text: &str| returned(text.as_bytes()).expect_err(text);
        assert_eq!(wrong("  "), "no result follows the arguments");
        assert_eq!(wrong(" = abc"), "`abc` is not a result");
        assert_eq!(wrong(" 7"), "`7` is not a result: expected `= ` and a number");
    }
}
