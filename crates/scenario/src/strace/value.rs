//! Numbers, flags, strings and descriptors.

use crate::strace::argument::{Fd, LoggedText};
use crate::strace::scan::{annotation_end, comment_end, string_end};
use ptelab_uapi::{HUGE_SHIFT, NameTable};

/// `AT_FDCWD` in the kernel's headers.
const AT_FDCWD: i32 = -100;

/// The names that may stand for numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    pub(super) tables: &'a [&'a NameTable],
    /// Whether names may lack their prefix, as perf trace prints them.
    pub(super) short: bool,
}

impl Names<'_> {
    fn value(&self, name: &str) -> Option<u64> {
        let whole = self.tables.iter().find_map(|table| table.value(name));
        whole.or_else(|| {
            let short = || self.tables.iter().find_map(|table| table.short_value(name));
            if self.short { short() } else { None }
        })
    }

    fn what(&self) -> &'static str {
        self.tables.first().map_or("a number", |table| table.what)
    }
}

/// Numbers and names joined by `|`; comments are left out.
pub(super) fn evaluate(text: &[u8], names: Names<'_>) -> Result<u64, String> {
    let mut value = 0;
    let mut rest = skip_blank(text);
    loop {
        let (bits, after) = term(rest, names)?;
        value |= bits;
        rest = skip_blank(after);
        match rest.split_first() {
            None => return Ok(value),
            Some((b'|', after)) => rest = skip_blank(after),
            Some(_) => return Err(not(text, names.what())),
        }
    }
}

/// A number, a name, or a shift of a number.
fn term<'a>(text: &'a [u8], names: Names<'_>) -> Result<(u64, &'a [u8]), String> {
    let (word, rest) = word(text);
    if word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        let value = if word == "NULL" { Some(0) } else { names.value(word) };
        return value.map(|value| (value, rest)).ok_or_else(|| not(word.as_bytes(), names.what()));
    }
    let value = number(word)
        .ok_or_else(|| not(if word.is_empty() { text } else { word.as_bytes() }, names.what()))?;
    match rest.strip_prefix(b"<<") {
        Some(rest) => shifted(value, rest),
        None => Ok((value, rest)),
    }
}

/// `21<<MAP_HUGE_SHIFT`, of which `rest` is what follows the `<<`.
fn shifted(value: u64, rest: &[u8]) -> Result<(u64, &[u8]), String> {
    let (word, rest) = word(rest);
    let shift = match word {
        "MAP_HUGE_SHIFT" | "SHM_HUGE_SHIFT" => Some(HUGE_SHIFT),
        _ => number(word).and_then(|shift| u32::try_from(shift).ok()),
    };
    let value = shift.and_then(|shift| value.checked_shl(shift));
    Ok((value.ok_or_else(|| not(word.as_bytes(), "a shift"))?, rest))
}

fn word(text: &[u8]) -> (&str, &[u8]) {
    let inside = |(at, byte): (usize, &u8)| {
        byte.is_ascii_alphanumeric() || *byte == b'_' || (at == 0 && *byte == b'-')
    };
    let end = text.iter().enumerate().position(|item| !inside(item)).unwrap_or(text.len());
    // Only ASCII was taken.
    (std::str::from_utf8(&text[..end]).unwrap_or(""), &text[end..])
}

/// Decimal, `0x` hexadecimal or `0` octal; a negative number becomes its two's complement.
pub(super) fn number(word: &str) -> Option<u64> {
    if let Some(positive) = word.strip_prefix('-') {
        let negative = 0_i64.checked_sub_unsigned(plain(positive)?)?;
        return Some(negative as u64);
    }
    plain(word)
}

fn plain(word: &str) -> Option<u64> {
    let (digits, radix) = match word.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&word[2..], 16),
        [b'0', _, ..] => (&word[1..], 8),
        _ => (word, 10),
    };
    // The standard library's parser takes a sign too.
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, radix).ok() }
}

fn skip_blank(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        if !text.starts_with(b"/*") {
            return text;
        }
        match comment_end(text, 0) {
            Some(end) => text = &text[end..],
            None => return text,
        }
    }
}

/// `3`, `3</path>`, `3</path>(deleted)`, `AT_FDCWD</path>`.
pub(super) fn fd(text: &[u8]) -> Result<Fd, String> {
    let open = text.iter().position(|&byte| byte == b'<').unwrap_or(text.len());
    let number = match text[..open].trim_ascii() {
        b"AT_FDCWD" | b"CWD" => AT_FDCWD,
        word => {
            int(evaluate(word, Names { tables: &[], short: false }).map_err(|_| not(text, "a descriptor"))?)?
        }
    };
    let (path, deleted) = annotation(&text[open..]).map_or((None, false), |(path, gone)| (Some(path), gone));
    Ok(Fd { number, path, deleted })
}

/// What stands between `<` and `>` at the beginning of `text`, and whether the file is said to be deleted.
pub(super) fn annotation(text: &[u8]) -> Option<(String, bool)> {
    let inner = text.strip_prefix(b"<")?;
    let end = annotation_end(inner, 0)?;
    let mut path = unescape(&inner[..end]);
    let device = path.rfind("<char ").or_else(|| path.rfind("<block "));
    if let Some(at) = device.filter(|_| path.ends_with('>')) {
        path.truncate(at);
    }
    // Older straces put the remark inside.
    let inside = path.strip_suffix(" (deleted)").map(str::to_owned);
    let deleted = inside.is_some() || inner[end + 1..].starts_with(b"(deleted)");
    Some((inside.unwrap_or(path), deleted))
}

/// A number of 32 bits; what is printed unsigned counts as its two's complement.
pub(super) fn int(value: u64) -> Result<i32, String> {
    let signed = i32::try_from(value as i64).ok();
    let unsigned = || u32::try_from(value).ok().map(u32::cast_signed);
    signed.or_else(unsigned).ok_or_else(|| format!("`{value}` is more than 32 bits"))
}

/// `"abc"`, or `"abc"...` where the log has only the beginning; `None` for an address.
pub(super) fn string(text: &[u8]) -> Option<LoggedText> {
    if text.first() != Some(&b'"') {
        return None;
    }
    let end = string_end(text, 0)?;
    Some(LoggedText { text: unescape(&text[1..end - 1]), truncated: text[end..].starts_with(b"...") })
}

/// Resolves C's escapes. What is no escape stays as it is.
pub(super) fn unescape(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let (byte, after) = if *first == b'\\' { escape(after) } else { (*first, after) };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).unwrap_or_else(|bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned())
}

/// The byte that an escape stands for, of which `text` is what follows the backslash.
fn escape(text: &[u8]) -> (u8, &[u8]) {
    let digits = |text: &[u8], most: usize, radix: u32| {
        text.iter().take(most).take_while(|byte| char::from(**byte).is_digit(radix)).count()
    };
    let value = |digits: &[u8], radix| {
        let digits = std::str::from_utf8(digits).unwrap_or("");
        u32::from_str_radix(digits, radix).unwrap_or(0) as u8
    };
    match text {
        [b'0'..=b'7', ..] => {
            let end = digits(text, 3, 8);
            (value(&text[..end], 8), &text[end..])
        }
        [b'x', hex @ ..] if digits(hex, 2, 16) > 0 => {
            let end = digits(hex, 2, 16);
            (value(&hex[..end], 16), &hex[end..])
        }
        [letter, rest @ ..] => (named_escape(*letter), rest),
        [] => (b'\\', text),
    }
}

const fn named_escape(letter: u8) -> u8 {
    match letter {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'v' => 0x0b,
        b'f' => 0x0c,
        other => other,
    }
}

/// How much of a text is repeated in a message.
const SHOWN: usize = 40;

/// That `text` is not `what`.
pub(super) fn not(text: &[u8], what: &str) -> String {
    format!("`{}` is not {what}", shown(text, SHOWN))
}

/// The beginning of a text, with control characters escaped.
pub(super) fn shown(text: &[u8], most: usize) -> String {
    let short = String::from_utf8_lossy(&text[..text.len().min(most)]);
    let dots = if text.len() > most { "..." } else { "" };
    let escaped =
        short.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() });
    format!("{}{dots}", escaped.collect::<String>())
}
