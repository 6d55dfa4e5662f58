//! Files of rules: a known kernel, and what is otherwise.
//!
//! ```toml
//! name = "mine"            # else the file's
//! base = "6.17"
//! [changes]
//! cont_on_invalid = false
//! ```

use super::named::{self, NamedKernel};
use ptelab_machine::{KernelRules, Release, changes};
use ptelab_scenario::did_you_mean;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads a file of rules, or says all that is wrong with it, a line each.
pub(super) fn read(path: &Path) -> Result<NamedKernel, String> {
    let at = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{at}: {error}"))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    parse(&text, &stem).map_err(|mistakes| {
        let line = |(span, what): &Mistake| {
            let (line, column) = place(&text, span.start);
            format!("{at}:{line}:{column}: {what}")
        };
        mistakes.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// Where it is, in bytes, and what is wrong there.
type Mistake = (Range<usize>, String);

struct Reader {
    mistakes: Vec<Mistake>,
}

/// A key or a value, with where it stands.
type Entry<'a, 'b> = (&'a Spanned<std::borrow::Cow<'b, str>>, &'a Spanned<DeValue<'b>>);

fn parse(text: &str, stem: &str) -> Result<NamedKernel, Vec<Mistake>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let of_syntax = |error: toml::de::Error| (error.span().unwrap_or(0..0), error.message().to_owned());
    let mut reader = Reader { mistakes: errors.into_iter().map(of_syntax).collect() };
    let (mut name, mut base, mut rows) = (None, None, Vec::new());
    for (key, value) in table.get_ref() {
        match key.get_ref().as_ref() {
            "name" => name = reader.name((key, value)),
            "base" => base = reader.base((key, value)),
            "changes" => rows = reader.changes((key, value)),
            other => reader.mistake(key.span(), format!("unknown key `{other}`: name, base, [changes]")),
        }
    }
    if !table.get_ref().contains_key("base") {
        reader.mistake(0..0, "no base: write base = \"6.17\", the release that it goes by".to_owned());
    }
    if !table.get_ref().contains_key("name") {
        name = reader.usable_name(0..0, stem);
    }
    reader.mistakes.sort_by_key(|(span, _)| span.start);
    match (name, base) {
        (Some(name), Some(NamedKernel { rules, note })) if reader.mistakes.is_empty() => {
            Ok(NamedKernel { rules: rules.but_for(&name, &rows), note })
        }
        _ => Err(reader.mistakes),
    }
}

impl Reader {
    fn mistake(&mut self, span: Range<usize>, what: String) {
        self.mistakes.push((span, what));
    }

    fn text(&mut self, (key, value): Entry<'_, '_>) -> Option<String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            let is = value.get_ref().type_str();
            self.mistake(value.span(), format!("`{}` is text in quotes, not {is}", key.get_ref()));
        }
        text
    }

    fn name(&mut self, entry: Entry<'_, '_>) -> Option<String> {
        let name = self.text(entry)?;
        self.usable_name(entry.1.span(), &name)
    }

    /// A name by which no other kernel can be meant.
    fn usable_name(&mut self, span: Range<usize>, name: &str) -> Option<String> {
        let is_taken = Release::parse(name).is_some() || ["all", "host"].contains(&name);
        let is_plain = !name.is_empty() && !name.chars().any(|c| c.is_control() || c == ',');
        if is_taken {
            self.mistake(
                span,
                format!("`{name}` is another kernel's name: give it one of its own, name = \"...\""),
            );
        } else if !is_plain {
            self.mistake(span, "a name is one line of text without commas".to_owned());
        }
        (!is_taken && is_plain).then(|| name.to_owned())
    }

    fn base(&mut self, entry: Entry<'_, '_>) -> Option<NamedKernel> {
        let base = self.text(entry)?;
        let named = Release::parse(&base).and_then(named::of_named);
        if named.is_none() {
            let known = named::listed(KernelRules::ALL);
            self.mistake(
                entry.1.span(),
                format!("no kernel `{base}` is known: choose from {known}, or another release"),
            );
        }
        named
    }

    fn changes(&mut self, (_, value): Entry<'_, '_>) -> Vec<(&'static str, bool)> {
        let Some(table) = value.get_ref().as_table() else {
            let is = value.get_ref().type_str();
            self.mistake(value.span(), format!("`changes` is a table of id = true or false, not {is}"));
            return Vec::new();
        };
        table.iter().filter_map(|entry| self.change(entry)).collect()
    }

    fn change(&mut self, (key, value): Entry<'_, '_>) -> Option<(&'static str, bool)> {
        let id = key.get_ref();
        let change = changes().map(|(_, change)| change.id).find(|known| known == id);
        if change.is_none() {
            let meant = did_you_mean(id, changes().map(|(_, change)| change.id));
            let meant = meant.unwrap_or_else(|| "`ptelab kernels` lists them".to_owned());
            self.mistake(key.span(), format!("unknown change `{id}`: {meant}"));
        }
        let holds = value.get_ref().as_bool();
        if holds.is_none() {
            self.mistake(
                value.span(),
                format!("`{id}` is true or false, not {}", value.get_ref().type_str()),
            );
        }
        change.zip(holds)
    }
}

/// Line and column of a byte, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_is_otherwise() {
        let text = "name = \"mine\"\nbase = \"6.17\"\n[changes]\ncont_on_invalid = false\nhuge_zero_special = true\n";
        let named = parse(text, "file").expect("it has no mistakes");
        let base = KernelRules::by_name("6.17").expect("it is known");
        let otherwise: Vec<_> = named::differences(base, named.rules).map(|(_, c)| c.id).collect();
        assert_eq!((named.rules.name, named.note), ("mine", None));
        assert_eq!(otherwise, ["huge_zero_special", "cont_on_invalid"]);
        let named = parse("base = \"6.14\"\n", "file").expect("it has no mistakes");
        assert_eq!(named.rules.name, "file");
        assert!(named.note.is_some_and(|note| note.starts_with("6.14 is not known")));
    }

    #[test]
    fn all_mistakes_are_told_with_their_places() {
        let text = "nam = 1\nbase = 6.17\n[changes]\ncont_on_invlid = true\nhuge_zero_special = 1\n= 3\n";
        let mistakes = parse(text, "7.3").unwrap_err();
        let told: Vec<String> =
            mistakes.iter().map(|(span, what)| format!("{:?} {what}", place(text, span.start))).collect();
        let begins = [
            "(1, 1) `7.3` is another kernel's name",
            "(1, 1) unknown key `nam`",
            "(2, 8) `base` is text in quotes, not float",
            "(4, 1) unknown change `cont_on_invlid`: did you mean `cont_on_invalid`?",
            "(5, 21) `huge_zero_special` is true or false, not integer",
            "(6, 1) ",
        ];
        for begin in begins {
            assert!(told.iter().any(|told| told.starts_with(begin)), "{begin}: {told:#?}");
        }
        let none = parse("", "mine").unwrap_err();
        assert!(none.len() == 1 && none[0].1.starts_with("no base"), "{none:?}");
    }
}
