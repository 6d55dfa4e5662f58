//! Where an argument ends: strings, comments, annotations and nested structs are stepped over.

/// The parts of a list between `(`, `[` or `{` and the bracket that closes it.
#[derive(Clone, Debug)]
pub(super) struct Items<'a> {
    /// What was not looked at yet; what follows the closing bracket, once that was found.
    rest: &'a [u8],
    close: u8,
    closed: bool,
}

/// One part: `8192`, `flags=CLONE_VM` (strace), `len: 8192` (perf trace).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Item<'a> {
    pub(super) name: Option<&'a [u8]>,
    pub(super) text: &'a [u8],
}

impl<'a> Items<'a> {
    /// The list of which `rest` is what follows the opening bracket.
    pub(super) const fn new(rest: &'a [u8], close: u8) -> Self {
        Self { rest, close, closed: false }
    }

    /// What follows the list, or `None` if it has not been closed.
    pub(super) const fn after(&self) -> Option<&'a [u8]> {
        if self.closed { Some(self.rest) } else { None }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        if self.closed {
            return None;
        }
        let Some(end) = item_end(self.rest, self.close) else {
            self.rest = &[];
            return None;
        };
        let text = self.rest[..end].trim_ascii();
        self.closed = self.rest[end] != b',';
        self.rest = &self.rest[end + 1..];
        if self.closed && text.is_empty() { None } else { Some(named(text)) }
    }
}

/// Where the part ends with which `text` begins: at a comma, or at `close`.
fn item_end(text: &[u8], close: u8) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        match *text.get(at)? {
            b'"' => at = string_end(text, at)?,
            b'/' if text.get(at + 1) == Some(&b'*') => at = comment_end(text, at)?,
            b'<' => at = angle_end(text, at)?,
            b',' if depth == 0 => return Some(at),
            b'(' | b'[' | b'{' => {
                depth += 1;
                at += 1;
            }
            byte @ (b')' | b']' | b'}') => {
                if depth == 0 {
                    return (byte == close).then_some(at);
                }
                depth -= 1;
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// What follows the string that begins at `at`.
pub(super) fn string_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// What follows the comment that begins at `at`. Comments nest: `0x28 /* 0x8 /* MAP_??? */|MAP_ANONYMOUS */`.
pub(super) fn comment_end(text: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 2;
    let mut depth = 1_usize;
    while depth > 0 {
        let step = match text.get(at..at + 2)? {
            b"/*" => Some(depth + 1),
            b"*/" => Some(depth - 1),
            _ => None,
        };
        depth = step.unwrap_or(depth);
        at += if step.is_some() { 2 } else { 1 };
    }
    Some(at)
}

/// What follows the `<` at `at`: of an annotation, of a shift, or of a remark like ` <unfinished ...>`.
fn angle_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at + 1) == Some(&b'<') {
        return Some(at + 2);
    }
    let after_word = at.checked_sub(1).is_some_and(|before| text[before].is_ascii_alphanumeric());
    if !after_word {
        return Some(at + 1);
    }
    Some(annotation_end(text, at + 1)? + 1)
}

/// Where the `>` is that closes an annotation. Not every strace escapes a `>` in a path, and sockets have arrows, so it
/// is the first one behind which an argument can end.
pub(super) fn annotation_end(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += text.get(at..)?.iter().position(|&byte| byte == b'>')?;
        if can_follow(&text[at + 1..]) {
            return Some(at);
        }
        at += 1;
    }
}

fn can_follow(rest: &[u8]) -> bool {
    match rest {
        [] | [b',' | b')' | b']' | b'}', ..] => true,
        [b' ', b'<', next, ..] => next.is_ascii_digit() || matches!(next, b'u' | b'd'),
        [b' ', next, ..] => matches!(next, b'(' | b'/' | b'='),
        _ => rest.starts_with(b"(deleted)"),
    }
}

fn named(text: &[u8]) -> Item<'_> {
    let end =
        text.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').unwrap_or(text.len());
    let name = Some(&text[..end]).filter(|name| !name.is_empty());
    match &text[end..] {
        [b'=', rest @ ..] if rest.first() != Some(&b'>') => Item { name, text: rest },
        [b':', b' ', rest @ ..] => Item { name, text: rest.trim_ascii() },
        _ => Item { name: None, text },
    }
}

#[cfg(test)]
mod tests {
    use super::Items;

    fn parts(text: &str) -> (Vec<String>, Option<String>) {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut items = Items::new(text.as_bytes(), b')');
        let found = items.by_ref().map(|item| lossy(item.text)).collect();
        (found, items.after().map(lossy))
    }

    #[test]
    fn nothing_inside_of_an_argument_ends_it() {
        for (argument, read) in [
            ("\"a, b) \\\" c\"...", "\"a, b) \\\" c\"..."),
            ("[{a=1, b=[2, 3]}, {}]", "[{a=1, b=[2, 3]}, {}]"),
            ("0x1 /* a, b) */", "0x1 /* a, b) */"),
            ("0x28 /* 8 /* a, b */|c */", "0x28 /* 8 /* a, b */|c */"),
            ("3</tmp/a, b) > c<d>", "3</tmp/a, b) > c<d>"),
            ("3</tmp/a (x>(deleted)", "3</tmp/a (x>(deleted)"),
            ("3<TCP:[1.2.3.4:5->6.7.8.9:10]>", "3<TCP:[1.2.3.4:5->6.7.8.9:10]>"),
            ("0</dev/pts/0<char 136:0>>", "0</dev/pts/0<char 136:0>>"),
            ("MAP_HUGETLB|21<<MAP_HUGE_SHIFT", "MAP_HUGETLB|21<<MAP_HUGE_SHIFT"),
            ("flags=A|B", "A|B"),
            ("len: 8192", "8192"),
            ("{a=1} => {b=[2]}", "{a=1} => {b=[2]}"),
        ] {
            let (found, after) = parts(&format!("0, {argument}, 1) = 2"));
            assert_eq!(found, ["0", read, "1"]);
            assert_eq!(after.as_deref(), Some(" = 2"));
        }
    }

    #[test]
    fn a_list_that_does_not_close_has_nothing_after_it() {
        for text in ["", "1", "1, ", "\"a)", "1 /* )", "3</a)x", "(", "1]", "{)", "\"\\"] {
            assert_eq!(parts(text).1, None, "{text}");
        }
        assert_eq!(parts(")"), (vec![], Some(String::new())));
    }
}
