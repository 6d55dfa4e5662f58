//! Printing, and failing.

use anstream::AutoStream;
use anstyle::Style;
use ptelab::{BuildError, SelectError};
use same_file::Handle;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::NamedTempFile;
use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

/// Standard output: buffered, with colour on a terminal only, unless `NO_COLOR` is set.
pub(crate) struct Out(BufWriter<AutoStream<Stdout>>);

/// Headings.
const BOLD: Style = Style::new().bold();
/// What differs.
const RED: Style = anstyle::AnsiColor::Red.on_default();

impl Out {
    pub(crate) fn new() -> Self {
        Self(BufWriter::new(AutoStream::auto(io::stdout())))
    }

    pub(crate) fn line(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.0, "{text}")
    }

    pub(crate) fn text(&mut self, text: impl fmt::Display) -> io::Result<()> {
        write!(self.0, "{text}")
    }

    /// A line that heads what follows.
    pub(crate) fn heading(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.0, "{BOLD}{text}{BOLD:#}")
    }

    /// A line about a difference.
    pub(crate) fn differing(&mut self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(self.0, "{RED}{text}{RED:#}")
    }

    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failed> {
        serde_json::to_writer_pretty(&mut self.0, value).map_err(io::Error::from)?;
        Ok(self.line("")?)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Why a command did not finish.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Input or usage, in a sentence.
    Unusable(String),
    /// Mistakes in a scenario, shown in their lines.
    Mistakes(String),
    /// Output could not be written.
    Output(io::Error),
    /// Ctrl-C came before there was anything to say.
    Stopped,
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<SelectError> for Failed {
    fn from(error: SelectError) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl From<BuildError> for Failed {
    fn from(error: BuildError) -> Self {
        Self::Unusable(error.to_string())
    }
}

impl Failed {
    /// Several things that are wrong with input or usage, a line each.
    pub(crate) fn all(texts: &[String]) -> Self {
        Self::Unusable(texts.join("\nptelab: "))
    }

    /// The same in words.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Unusable(text) | Self::Mistakes(text) => text,
            Self::Output(error) => error.to_string(),
            Self::Stopped => "stopped".to_owned(),
        }
    }

    /// What standard error is told.
    pub(crate) fn said(&self) -> String {
        match self {
            Self::Output(error) => format!("ptelab: cannot write: {}\n", in_words(&error.to_string())),
            Self::Unusable(text) => format!("ptelab: {}\n", in_words(text)),
            Self::Mistakes(text) => text.clone(),
            Self::Stopped => "ptelab: stopped\n".to_owned(),
        }
    }

    /// Says so on standard error, and gives the exit status. Nobody is left to tell where the reader of our output has gone.
    pub(crate) fn report(&self) -> u8 {
        if matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return crate::exit::FINE;
        }
        // Where standard error cannot be written either, the status must do.
        let _ = write!(anstream::stderr(), "{}", self.said());
        if matches!(self, Self::Stopped) { crate::exit::STOPPED } else { crate::exit::UNUSABLE }
    }
}

/// A message without the numbers that the standard library adds to errors of the system: ` (os error 2)`.
fn in_words(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |said, part| said + part.split_once(')').map_or(part, |(_, rest)| rest))
}

/// Whether a path stands for standard output: `-`, as for input, a device's name, or the file that it goes to.
pub(crate) fn is_stdout(path: &Path) -> bool {
    const NAMES: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    let same = || path.is_file() && Handle::from_path(path).ok() == Handle::stdout().ok();
    NAMES.iter().any(|name| path == Path::new(name)) || same()
}

/// The files that were read, and those that are to be written.
static READ: Files = Files(Mutex::new(Vec::new()));
static WRITTEN: Files = Files(Mutex::new(Vec::new()));

/// A file, however it is named.
#[derive(PartialEq)]
enum Place {
    Stdout,
    /// One that is there.
    Is(Handle),
    /// One that is not.
    WillBe(PathBuf),
}

impl Place {
    /// Nothing for a device or a pipe.
    fn of(path: &Path) -> Option<Self> {
        if path.exists() {
            // To open a pipe would wait for who writes to it.
            return path.is_file().then(|| Handle::from_path(path).ok()).flatten().map(Self::Is);
        }
        Some(Self::WillBe(folder_of(path).canonicalize().ok()?.join(path.file_name()?)))
    }
}

/// The folder that a path lies in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Files, by where they are.
struct Files(Mutex<Vec<Place>>);

impl Files {
    /// Adds a file; says whether it is new here.
    fn add(&self, place: Option<Place>) -> bool {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = place.as_ref().is_none_or(|place| !files.contains(place));
        files.extend(place.filter(|_| is_new));
        is_new
    }

    fn has(&self, place: &Place) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(place)
    }
}

/// A file that was read is not written to.
pub(crate) fn keep(path: &Path) {
    if path == Path::new("-") {
        READ.add(Handle::stdin().ok().map(Place::Is));
    } else {
        READ.add(Place::of(path).filter(|place| matches!(place, Place::Is(_))));
    }
}

fn check_not_read(path: &Path) -> Result<(), Failed> {
    if Place::of(path).is_some_and(|place| READ.has(&place)) {
        let why = format!("{}: this is an input; refusing to overwrite it", path.display());
        return Err(Failed::Unusable(why));
    }
    Ok(())
}

/// Whether a file can be written to, asked before the work whose results it is to hold; what stands there stays. Two results
/// cannot go to one file.
pub(crate) fn check(path: &Path) -> Result<(), Failed> {
    let twice =
        || Failed::Unusable(format!("{}: two options name this file for their output", path.display()));
    if is_stdout(path) {
        return if WRITTEN.add(Some(Place::Stdout)) { Ok(()) } else { Err(twice()) };
    }
    check_not_read(path)?;
    let tried = match path.metadata() {
        Ok(known) if known.is_file() => File::options().write(true).open(path).map(drop),
        Ok(known) if known.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        // A device or a pipe, which opening may change.
        Ok(_) => Ok(()),
        // A link to what is not there yet.
        Err(_) if path.is_symlink() => Ok(()),
        Err(_) => File::create_new(path).and_then(|_| std::fs::remove_file(path)),
    };
    tried.map_err(|error| cannot_write(path, &error))?;
    if WRITTEN.add(Place::of(path)) { Ok(()) } else { Err(twice()) }
}

/// Whether files can be written into a folder, which is made where only it is missing; asked before the work, too.
pub(crate) fn check_folder(path: &Path) -> Result<(), Failed> {
    let probe = path.join(format!(".ptelab-{}", std::process::id()));
    let made = if path.exists() { Ok(()) } else { std::fs::create_dir(path) };
    let made = made.and_then(|()| File::create_new(&probe));
    let tried = made.and_then(|_| std::fs::remove_file(probe));
    tried.map_err(|error| cannot_write(path, &error))
}

/// Why a file or a folder cannot be made or written.
fn cannot_write(path: &Path, error: &io::Error) -> Failed {
    let folder = folder_of(path);
    let why = if error.kind() == io::ErrorKind::NotFound && !folder.exists() {
        format!("No such file or directory: there is no folder {}", folder.display())
    } else {
        error.to_string()
    };
    Failed::Unusable(format!("{}: {why}", path.display()))
}

/// A file that is written. Its errors name it, and one that cannot be finished does not stay.
struct Output {
    file: File,
    path: PathBuf,
    /// Whether it was not there before.
    is_new: bool,
}

impl Output {
    fn named(&self, error: &io::Error) -> io::Error {
        if self.is_new {
            // Where it cannot be removed either, the error tells of it all the same.
            let _ = std::fs::remove_file(&self.path);
        }
        io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| self.named(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| self.named(&error))
    }
}

/// A file to write to; `-` is standard output.
pub(crate) fn create(path: &Path) -> Result<Box<dyn Write + Send>, Failed> {
    if is_stdout(path) {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    check_not_read(path)?;
    let is_new = !path.exists();
    let file = File::create(path).map_err(|error| cannot_write(path, &error))?;
    Ok(Box::new(BufWriter::new(Output { file, path: path.to_owned(), is_new })))
}

/// Writes a file, whole; `-` is standard output. A file that is there already stays as it is where the new one cannot be finished.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    if path.is_file() && !path.is_symlink() && !is_stdout(path) {
        check_not_read(path)?;
        // Where no file can be made beside it, it is written in its place.
        if let Ok(new) = NamedTempFile::new_in(folder_of(path)) {
            return replace(path, new, bytes).map_err(|error| cannot_write(path, &error));
        }
    }
    let mut file = create(path)?;
    file.write_all(bytes)?;
    Ok(file.flush()?)
}

fn replace(path: &Path, mut new: NamedTempFile, bytes: &[u8]) -> io::Result<()> {
    // What opening it for writing would refuse is refused.
    let old = File::options().write(true).open(path)?;
    new.as_file_mut().write_all(bytes)?;
    new.as_file().set_permissions(old.metadata()?.permissions())?;
    new.persist(path)?;
    Ok(())
}

/// Writes every file that can be written; says all at once which cannot.
pub(crate) fn write_files(files: impl IntoIterator<Item = (PathBuf, String)>) -> Result<(), Failed> {
    let written = files.into_iter().map(|(path, text)| write_file(&path, text.as_bytes()));
    let failed: Vec<String> = written.filter_map(Result::err).map(Failed::text).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failed::all(&failed)) }
}

/// Whether colour may go to standard error.
pub(crate) fn stderr_has_color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Logs calls, with the time that each took, to standard error.
pub(crate) fn log(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => Level::DEBUG,
        _ => Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(stderr_has_color())
        .with_target(false)
        .with_span_events(if verbose > 1 { FmtSpan::CLOSE } else { FmtSpan::NONE })
        .init();
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn numbers_of_errors_are_not_said() {
        let one = "a.scn: No such file or directory";
        assert_eq!(in_words("a.scn: No such file or directory (os error 2)"), one);
        assert_eq!(in_words("a: Is a directory (os error 21)\nb: no"), "a: Is a directory\nb: no");
        assert_eq!(in_words(one), one);
    }
}
