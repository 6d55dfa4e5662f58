//! What others put before a line of a log: numbers of grep and cat, dates of a journal or a container, marks of quotation.

/// A line without the first of those that stands before it, if one does.
pub(super) fn unwrapped(line: &[u8]) -> Option<&[u8]> {
    let text = line.trim_ascii_start();
    let marked = || text.strip_prefix("\u{feff}".as_bytes());
    quoted(text).or_else(|| numbered(text)).or_else(|| dated(text)).or_else(marked)
}

/// `> mmap(...`, `# mmap(...`
fn quoted(text: &[u8]) -> Option<&[u8]> {
    let mark = text.first().filter(|mark| b">#+|*".contains(mark))?;
    let rest = &text[text.iter().take_while(|byte| *byte == mark).count()..];
    rest.first().filter(|next| next.is_ascii_whitespace()).map(|_| rest.trim_ascii_start())
}

/// `17:7 mmap(...` of `grep -n`, a tab instead of the colon of `cat -n`.
fn numbered(text: &[u8]) -> Option<&[u8]> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (mark, rest) = text.get(digits..)?.split_first()?;
    (digits > 0 && b":\t".contains(mark) && !rest.is_empty()).then_some(rest)
}

/// `2026-11-27T08:29:40.5Z `, `2026-11-27 08:29:40 `, or `Nov 27 08:29:40 `, and what a journal puts behind: `host strace[7]: `.
fn dated(text: &[u8]) -> Option<&[u8]> {
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let (first, rest) = word(text)?;
    let like = |shape: &[u8]| {
        let is_like = |(byte, of): (&u8, &u8)| if *of == b'0' { byte.is_ascii_digit() } else { byte == of };
        first.len() >= shape.len() && first.iter().zip(shape).all(is_like)
    };
    let rest = if like(b"0000-00-00T00:00:00") {
        rest
    } else if like(b"0000-00-00") {
        word(rest)?.1
    } else if first.len() == 3 && MONTHS.chunks(3).any(|month| month == first) {
        word(word(rest)?.1)?.1
    } else {
        return None;
    };
    let tagged = word(rest).and_then(|(_host, rest)| word(rest)).filter(|(tag, _)| tag.ends_with(b":"));
    Some(tagged.map_or(rest, |(_, rest)| rest))
}

/// The text up to a blank, and what follows the blanks.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b' ')?;
    Some((&text[..end], text[end..].trim_ascii_start()))
}

#[cfg(test)]
mod tests {
    use super::unwrapped;

    #[test]
    fn what_stands_before_a_line_is_taken_off() {
        for (line, inner) in [
            ("> > 7 brk(NULL) = 0x1000", Some("> 7 brk(NULL) = 0x1000")),
            (">> brk(NULL) = 0x1000", Some("brk(NULL) = 0x1000")),
            ("    # brk(NULL) = 0x1000", Some("brk(NULL) = 0x1000")),
            ("28366:7 brk(NULL) = 0x1000", Some("7 brk(NULL) = 0x1000")),
            ("    12\tbrk(NULL) = 0x1000", Some("brk(NULL) = 0x1000")),
            ("\u{feff}brk(NULL) = 0x1000", Some("brk(NULL) = 0x1000")),
            ("2026-11-27T08:29:40.123Z brk(NULL) = 0x1000", Some("brk(NULL) = 0x1000")),
            ("2026-11-27 08:29:40,123 brk(NULL) = 0x1000", Some("brk(NULL) = 0x1000")),
            ("Nov  7 08:29:40 a strace[7]: [pid 8] brk(0) = 0x1000", Some("[pid 8] brk(0) = 0x1000")),
            ("Nov  7 08:29:40 brk(NULL) = 0x1000", Some("brk(NULL) = 0x1000")),
            ("No such file", None),
            ("+++", None),
            ("12", None),
            ("", None),
        ] {
            assert_eq!(unwrapped(line.as_bytes()), inner.map(str::as_bytes), "{line}");
        }
    }
}
