//! From the text of a call to a [`LoggedCall`].

use crate::strace::args::Args;
use crate::strace::decode::Spec;
use crate::strace::entry::LoggedCall;
use crate::strace::outcome::returned;

/// Why a call cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its arguments do not end.
    Open,
    /// Something else, in words.
    Wrong(String),
}

/// Reads the call `body`, which begins with the name; nothing if it concerns no memory.
pub(super) fn decode(spec: &'static Spec, body: &[u8], perf: bool) -> Result<Option<LoggedCall>, Fault> {
    let written = name(body).ok_or(Fault::Open)?;
    let inner = body.get(written.len() + 1..).ok_or(Fault::Open)?;
    let (args, rest) = Args::split(inner, b')', perf).ok_or(Fault::Open)?;
    let Some(call) = (spec.decode)(&args).map_err(Fault::Wrong)? else {
        return Ok(None);
    };
    let returned = returned(rest).map_err(Fault::Wrong)?;
    Ok(Some(LoggedCall {
        name: spec.name,
        call,
        outcome: returned.outcome,
        result_path: returned.path,
        duration: returned.duration,
        text: text(body),
    }))
}

/// The call as the log has it.
pub(super) fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body.trim_ascii()).into_owned()
}

/// The name before the parenthesis.
pub(super) fn name(body: &[u8]) -> Option<&str> {
    let end = body.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')?;
    let named = end > 0 && body[end] == b'(' && !body[0].is_ascii_digit();
    if named { std::str::from_utf8(&body[..end]).ok() } else { None }
}

/// The descriptor that a call is about, as its first argument.
pub(super) fn descriptor(name: &str, body: &[u8]) -> Option<i32> {
    let inner = body.get(name.len() + 1..)?;
    let inner = inner.strip_prefix(b"fd: ").unwrap_or(inner);
    let end = inner.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&inner[..end]).ok()?.parse().ok()
}

/// Whether a text with a name and a parenthesis has a call's end too: a result, or a remark in its place.
pub(super) fn has_end(body: &[u8]) -> bool {
    if body.ends_with(b"...>") || body.ends_with(b"...") {
        return true;
    }
    let mut text = body;
    while let Some(at) = text.iter().rposition(|&byte| byte == b'=') {
        text = &text[..at];
        if text.trim_ascii_end().ends_with(b")") {
            return true;
        }
    }
    false
}
