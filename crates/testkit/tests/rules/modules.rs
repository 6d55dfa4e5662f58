//! The house's modules and names: no circle among the modules of a crate, and no two public types of one name.

use cargo_metadata::{MetadataCommand, TargetKind};
use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use ptelab_testkit::root;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// What a file names that is one piece with it: enum_dispatch writes an enum's methods beside the trait, and the bodies of some of a
/// trait's defaults stand in a file of their own.
const ONE_PIECE: &[(&str, &str, &str)] = &[
    ("ptelab-machine", "backend", "machine"),
    ("ptelab-machine", "backend", "ports"),
    ("ptelab-pgtable", "format", "view"),
    ("ptelab-pgtable", "ops", "contpte"),
];

/// Names that several public types have, as they are one notion: what each port has of its own, and what a host has or has not.
const SHARED_NAMES: &[&str] = &["PteBits", "SoftBits", "TableBits", "Rules", "Region"];

/// A path in a file: in a `use`, or in code.
#[derive(Clone, Debug, Default)]
struct Named {
    line: usize,
    path: Vec<String>,
}

/// What a `use` binds.
#[derive(Clone, Debug)]
struct Bound {
    named: Named,
    /// The name; `*` for all names.
    name: String,
    is_public: bool,
}

/// A file, which is a module; modules in braces are part of their file.
#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    /// Where it stands in its crate: nothing for the crate's root.
    path: Vec<String>,
    bound: Vec<Bound>,
    paths: Vec<Named>,
    /// Every word in code, outside of `use`.
    words: BTreeSet<String>,
    /// Items by name.
    items: BTreeSet<String>,
    /// Public types by name.
    types: Vec<String>,
    /// Modules that are files of their own.
    children: Vec<String>,
}

impl Module {
    fn read(file: &Path, path: Vec<String>) -> Self {
        let text = std::fs::read_to_string(file).expect("sources are text");
        let tokens: TokenStream = text.parse().expect("sources are Rust");
        let mut module = Self { file: file.to_owned(), path, ..Self::default() };
        module.walk(&tokens.into_iter().collect::<Vec<_>>());
        module
    }

    fn walk(&mut self, tokens: &[TokenTree]) {
        let mut i = 0;
        while let Some(token) = tokens.get(i) {
            i += match token {
                TokenTree::Group(group) => {
                    self.walk(&inside(group));
                    1
                }
                TokenTree::Punct(punct) if punct.as_char() == '#' => after_attribute(&tokens[i..]),
                // A lifetime.
                TokenTree::Punct(punct) if punct.as_char() == '\'' => 2,
                TokenTree::Ident(ident) => self.word(ident, &tokens[..i], &tokens[i..]),
                _ => 1,
            };
        }
    }

    /// Notes what a word begins; says how many tokens that takes.
    fn word(&mut self, ident: &Ident, before: &[TokenTree], from: &[TokenTree]) -> usize {
        let (text, line) = (ident.to_string(), ident.span().start().line);
        let next = word_at(from, 1);
        match text.as_str() {
            "use" if !is_punct(from.get(1), '<') => {
                let end = item_len(from);
                self.use_tree(&from[1..end - 1], &Named { line, path: Vec::new() }, is_public(before));
                return end;
            }
            "mod" => {
                if is_punct(from.get(2), ';') {
                    self.children.extend(next);
                } else {
                    self.items.extend(next);
                }
                return 2;
            }
            "struct" | "enum" | "trait" | "union" | "type" if is_public_to_all(before) => {
                self.types.extend(next.clone());
                self.items.extend(next);
            }
            "struct" | "enum" | "trait" | "union" | "type" | "fn" | "const" | "static" => {
                self.items.extend(next);
            }
            _ => {}
        }
        if !is_double_colon(&before[before.len().saturating_sub(2)..]) && is_double_colon(&from[1..]) {
            let steps = from[1..].chunks(3).take_while(|step| is_double_colon(step));
            let names = steps.map_while(|step| word_at(step, 2));
            let path = std::iter::once(text.clone()).chain(names).collect();
            self.paths.push(Named { line, path });
        }
        self.words.insert(text);
        1
    }

    /// What stands behind `use`, with what stands before its braces.
    fn use_tree(&mut self, tokens: &[TokenTree], before: &Named, is_public: bool) {
        for tree in tokens.split(|token| is_punct(Some(token), ',')) {
            let mut named = before.clone();
            let mut name = named.path.last().cloned().unwrap_or_default();
            let mut is_renamed = false;
            for token in tree {
                match token {
                    TokenTree::Ident(ident) if *ident == "as" => is_renamed = true,
                    TokenTree::Ident(ident) if *ident == "self" && !named.path.is_empty() => {}
                    TokenTree::Ident(ident) => {
                        name = ident.to_string();
                        if !is_renamed {
                            named.path.push(name.clone());
                            named.line = ident.span().start().line;
                        }
                    }
                    TokenTree::Punct(punct) if punct.as_char() == '*' => "*".clone_into(&mut name),
                    TokenTree::Group(group) => {
                        self.use_tree(&inside(group), &named, is_public);
                        name.clear();
                    }
                    _ => {}
                }
            }
            if !name.is_empty() && !tree.is_empty() {
                self.bound.push(Bound { named, name, is_public });
            }
        }
    }
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn is_double_colon(tokens: &[TokenTree]) -> bool {
    is_punct(tokens.first(), ':') && is_punct(tokens.get(1), ':')
}

fn word_at(tokens: &[TokenTree], at: usize) -> Option<String> {
    if let Some(TokenTree::Ident(ident)) = tokens.get(at) { Some(ident.to_string()) } else { None }
}

fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

/// Tokens of an attribute, and of the item behind it where only tests have that.
fn after_attribute(tokens: &[TokenTree]) -> usize {
    let text = tokens.get(1).map(ToString::to_string).unwrap_or_default();
    match text.as_str() {
        "!" => 3,
        _ if text.starts_with("[cfg (test") || text.starts_with("[cfg (all (test") => {
            2 + item_len(&tokens[2..])
        }
        _ => 2,
    }
}

/// Tokens of the item that begins here.
fn item_len(tokens: &[TokenTree]) -> usize {
    let is_use = word_at(tokens, 0).is_some_and(|word| word == "use");
    let is_body =
        |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
    let ends = |token: &TokenTree| is_punct(Some(token), ';') || !is_use && is_body(token);
    tokens.iter().position(ends).map_or(tokens.len(), |end| end + 1)
}

/// Whether these end with `pub` or `pub(...)`.
fn is_public(before: &[TokenTree]) -> bool {
    let before = match before {
        [rest @ .., TokenTree::Group(group)] if group.delimiter() == Delimiter::Parenthesis => rest,
        all => all,
    };
    is_public_to_all(before)
}

fn is_public_to_all(before: &[TokenTree]) -> bool {
    matches!(before.last(), Some(TokenTree::Ident(ident)) if *ident == "pub")
}

/// The modules of one library or program.
struct Modules {
    package: String,
    all: BTreeMap<Vec<String>, Module>,
}

/// What a path comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Module(Vec<String>),
    /// An item of this module.
    ItemOf(Vec<String>),
}

impl Modules {
    fn read(package: &str, file: &Path) -> Self {
        let mut all = BTreeMap::new();
        let folder = file.parent().expect("a file is in a folder").to_owned();
        let mut open = vec![(file.to_owned(), folder, Vec::new())];
        while let Some((file, folder, path)) = open.pop() {
            let module = Module::read(&file, path.clone());
            for child in &module.children {
                let file = folder.join(format!("{child}.rs"));
                // One that only tests have.
                if file.is_file() {
                    open.push((file, folder.join(child), [&path[..], std::slice::from_ref(child)].concat()));
                }
            }
            all.insert(path, module);
        }
        Self { package: package.to_owned(), all }
    }

    fn child(&self, of: &[String], name: &str) -> Option<Vec<String>> {
        let path = [of, &[name.to_owned()]].concat();
        self.all.contains_key(&path).then_some(path)
    }

    /// What a path in a module comes to; nothing where that is in another crate, or no path to a module or its items.
    fn resolve(&self, at: &[String], path: &[String], depth: u32) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        let mut here = match first.as_str() {
            "crate" => Place::Module(Vec::new()),
            "self" => Place::Module(at.to_vec()),
            "super" => Place::Module(at.split_last()?.1.to_vec()),
            name => self.member(at, name, depth)?,
        };
        for name in rest {
            let Place::Module(module) = &here else { break };
            here = match name.as_str() {
                "super" => Place::Module(module.split_last()?.1.to_vec()),
                name => self.member(module, name, depth).unwrap_or_else(|| Place::ItemOf(module.clone())),
            };
        }
        Some(here)
    }

    /// What a name is in a module: a child, something that a `use` binds, or an item.
    fn member(&self, of: &[String], name: &str, depth: u32) -> Option<Place> {
        let module = &self.all[of];
        if let Some(child) = self.child(of, name) {
            return Some(Place::Module(child));
        }
        let depth = depth.checked_sub(1)?;
        let bound = module.bound.iter().filter(|bound| bound.name == name);
        // A name may be bound to itself: `use crate::x` in the root.
        let mut found = bound.filter_map(|bound| self.resolve(of, &bound.named.path, depth));
        let own = || module.items.contains(name).then(|| Place::ItemOf(of.to_vec()));
        found.next().or_else(own).or_else(|| {
            let globs = module.bound.iter().filter(|bound| bound.name == "*");
            globs.filter_map(|glob| self.resolve(of, &glob.named.path, depth)).find_map(|from| match from {
                Place::Module(from) if from != of => self.member(&from, name, depth),
                _ => None,
            })
        })
    }

    /// What each module uses of others, with the line where it first does.
    fn edges(&self) -> BTreeMap<Vec<String>, BTreeMap<Vec<String>, usize>> {
        let mut edges: BTreeMap<Vec<String>, BTreeMap<Vec<String>, usize>> = BTreeMap::new();
        for (path, module) in &self.all {
            let used =
                module.bound.iter().filter(|bound| !bound.is_public || module.words.contains(&bound.name));
            let used = used.filter_map(|bound| {
                let place = self.resolve(path, &bound.named.path, 8)?;
                match place {
                    Place::ItemOf(of) => Some((of, bound.named.line)),
                    // What is used of a module is said where it is used; of one that is used whole, here.
                    Place::Module(of) => (bound.name == "*").then_some((of, bound.named.line)),
                }
            });
            let named = module.paths.iter().filter_map(|named| match self.resolve(path, &named.path, 8)? {
                Place::ItemOf(of) => Some((of, named.line)),
                Place::Module(_) => None,
            });
            for (of, line) in used.chain(named).filter(|(of, _)| of != path && !self.is_one_piece(path, of)) {
                edges.entry(path.clone()).or_default().entry(of).or_insert(line);
            }
        }
        edges
    }

    fn is_one_piece(&self, at: &[String], of: &[String]) -> bool {
        ONE_PIECE.contains(&(&self.package, &at.join("::"), &of.join("::")))
    }

    /// The shortest circle through each module that is in one, each circle once.
    fn circles(&self) -> Vec<String> {
        let edges = self.edges();
        let mut seen = BTreeSet::new();
        let mut texts = Vec::new();
        for start in self.all.keys().filter_map(|path| Some((path, edges.get(path)?))) {
            let Some(circle) = way_back(start.0, &edges) else { continue };
            let mut members = circle.clone();
            members.sort();
            members.dedup();
            if seen.insert(members) {
                texts.push(self.text(&circle, &edges));
            }
        }
        texts
    }

    fn text(
        &self,
        circle: &[Vec<String>],
        edges: &BTreeMap<Vec<String>, BTreeMap<Vec<String>, usize>>,
    ) -> String {
        let name = |path: &Vec<String>| if path.is_empty() { "lib".to_owned() } else { path.join("::") };
        let names: Vec<String> = circle.iter().map(name).collect();
        let lines = circle.windows(2).map(|pair| {
            let file =
                self.all[&pair[0]].file.strip_prefix(root().canonicalize().expect("the root is there"));
            let file = file.map_or_else(|_| self.all[&pair[0]].file.clone(), Path::to_owned);
            format!("    {}:{} uses {}", file.display(), edges[&pair[0]][&pair[1]], name(&pair[1]))
        });
        format!("{}\n{}", names.join(" -> "), lines.collect::<Vec<_>>().join("\n"))
    }
}

/// The shortest way from a module back to itself.
fn way_back(
    start: &Vec<String>,
    edges: &BTreeMap<Vec<String>, BTreeMap<Vec<String>, usize>>,
) -> Option<Vec<Vec<String>>> {
    let mut from: BTreeMap<&Vec<String>, &Vec<String>> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(at) = open.pop_front() {
        for next in edges.get(at).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                let mut way = vec![start.clone(), at.clone()];
                let mut at = at;
                while at != start {
                    at = from[at];
                    way.push(at.clone());
                }
                way.reverse();
                return Some(way);
            }
            if !from.contains_key(next) {
                from.insert(next, at);
                open.push_back(next);
            }
        }
    }
    None
}

/// Every library, program and test of the workspace: the package's name, what it is, and its first file.
fn targets() -> Vec<(String, bool, PathBuf)> {
    let manifest = root().join("Cargo.toml");
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .expect("cargo describes the workspace");
    let packages = metadata.packages.into_iter();
    packages
        .flat_map(|package| {
            let name = package.name.to_string();
            package.targets.into_iter().map(move |target| {
                (name.clone(), target.kind.contains(&TargetKind::Lib), target.src_path.into_std_path_buf())
            })
        })
        .collect()
}

/// A file is a module, and depends on what it names: items of other files by `crate::`, `super::`, or the name of a child. An item that
/// another module hands on (`pub use`) belongs to the file that defines it; handing on is no use, unless the file's own code has the
/// name too. A file and its children are several modules: shared items of theirs stand in a child of their own.
#[test]
fn no_modules_form_a_circle() {
    let mut found = Vec::new();
    for (package, _, file) in targets() {
        found.extend(
            Modules::read(&package, &file).circles().into_iter().map(|circle| format!("{package}: {circle}")),
        );
    }
    assert!(found.is_empty(), "{} circles:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_two_public_types_have_one_name() {
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (package, _, file) in targets().iter().filter(|(_, is_library, _)| *is_library) {
        for module in Modules::read(package, file).all.values() {
            for name in module.types.iter().filter(|name| !SHARED_NAMES.contains(&name.as_str())) {
                types.entry(name.clone()).or_default().push(format!("{package}::{}", module.path.join("::")));
            }
        }
    }
    types.retain(|_, places| places.len() > 1);
    assert!(types.is_empty(), "{types:#?}");
}
