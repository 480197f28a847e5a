//! The history on disk: sources brought in whole, listed, verified and read.
//!
//! ```text
//! <state>/history/source=<first 16 digits of the source's SHA-256>/manifest.json
//!                                                                 /<sheet>.parquet
//! ```
//! One folder a source, because a folder can be given its name in one step: a killed import leaves
//! a scrap, never half a source. There are no folders of markets or days: a row says its own, each
//! row group knows its least and greatest time, and daily candles would be files of one row.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::forms::{self, Given};
use super::intake::Intake;
use super::lines::Lines;
use super::sheet::Sheet;
use super::watch::{Extent, Watch};
use super::{At, HistoryError, columns, recording};
use crate::io::lock::{self, Lock};

/// Folder of the history in a state directory.
const FOLDER: &str = "history";
/// One import at a time.
const LOCK: &str = "lock";
const MANIFEST: &str = "manifest.json";
/// Begin of the name of a source's folder: readers of Parquet take it as a column.
const PLACE: &str = "source=";
/// Begin of the name of a folder that is being made.
const SCRAP: &str = ".part-";
/// Hex digits of the source's digest that name it.
const ID_DIGITS: usize = 16;
/// Version of this layout.
const LAYOUT: u32 = 1;
/// What the data is: what venues and chains did, as somebody wrote it down.
const LABEL: &str = "recorded";

/// What is known of an imported source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the layout.
    pub layout: u32,
    /// Version of the program that imported it.
    pub program: String,
    /// What the data is.
    pub label: String,
    /// Where it came from.
    pub source: Source,
    /// One a sheet.
    pub files: Vec<Kept>,
}

/// The file that was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Name without its folder.
    pub name: String,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// Size.
    pub bytes: u64,
    /// What it was recognised as.
    pub form: String,
}

/// A Parquet file of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Name of its sheet; the file is called after it.
    pub sheet: String,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// What it holds.
    #[serde(flatten)]
    pub extent: Extent,
}

/// What an import did.
#[derive(Debug)]
pub enum Imported {
    /// The source is in the history now.
    New(Manifest),
    /// It was there before: nothing was done.
    Known(Manifest),
}

impl Manifest {
    /// The source's name in the history.
    pub fn id(&self) -> &str {
        id(&self.source.sha256)
    }
}

/// Brings a file into the history; `tell` hears how many rows were taken.
///
/// # Errors
/// `HistoryError`; then the history is as it was.
pub fn import(
    state_dir: &Path,
    source: &Path,
    given: &Given,
    tell: &mut dyn FnMut(u64),
) -> Result<Imported, HistoryError> {
    let sha256 = digest(source)?;
    lock::make_state_dir(state_dir).map_err(HistoryError::file(state_dir))?;
    let folder = state_dir.join(FOLDER);
    make(&folder)?;
    let _lock = Lock::take(&folder.join(LOCK))?;
    sweep(&folder)?;
    let place = place(state_dir, id(&sha256));
    if place.exists() {
        let known = manifest(state_dir, id(&sha256))?;
        if known.source.sha256 == sha256 {
            return Ok(Imported::Known(known));
        }
        return Err(HistoryError::refused(&place, "it is of another source: remove one of them"));
    }
    let scrap = folder.join(format!("{SCRAP}{}", id(&sha256)));
    let made = fill(&scrap, source, &sha256, given, tell).and_then(|manifest| {
        fs::rename(&scrap, &place).map_err(HistoryError::file(&place))?;
        // The name itself must reach the disk as well.
        File::open(&folder).and_then(|dir| dir.sync_all()).map_err(HistoryError::file(&folder))?;
        Ok(manifest)
    });
    if made.is_err() {
        // Gone when it got its name; what stays is swept by the next import.
        let _ = fs::remove_dir_all(&scrap);
    }
    made.map(Imported::New)
}

/// Names of the sources in the history, sorted.
///
/// # Errors
/// Of the file system.
pub fn sources(state_dir: &Path) -> Result<Vec<String>, HistoryError> {
    let names = names(&state_dir.join(FOLDER))?;
    Ok(names.iter().filter_map(|name| name.strip_prefix(PLACE)).map(str::to_owned).collect())
}

/// What is known of a source.
///
/// # Errors
/// No such source, or a manifest that does not read.
pub fn manifest(state_dir: &Path, id: &str) -> Result<Manifest, HistoryError> {
    let path = place(state_dir, id).join(MANIFEST);
    if !place(state_dir, id).is_dir() {
        return Err(HistoryError::Unknown { id: id.to_owned() });
    }
    let text = fs::read(&path).map_err(HistoryError::file(&path))?;
    let bad = |what: String| HistoryError::refused(&path, what);
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| bad(format!("it is not what was written: {error}")))?;
    if manifest.layout != LAYOUT {
        let have = manifest.layout;
        return Err(bad(format!("its layout is {have}, this program knows {LAYOUT}")));
    }
    if manifest.id() != id {
        return Err(bad("it is of another source".to_owned()));
    }
    Ok(manifest)
}

/// Reads every file of a source against its manifest; what is wrong, nothing when all is well.
///
/// # Errors
/// No such source, or a file system that does not answer.
pub fn verify(
    state_dir: &Path,
    id: &str,
    tell: &mut dyn FnMut(u64),
) -> Result<Vec<String>, HistoryError> {
    let manifest = match manifest(state_dir, id) {
        Ok(manifest) => manifest,
        Err(unknown @ HistoryError::Unknown { .. }) => return Err(unknown),
        Err(error) => return Ok(vec![told(&error)]),
    };
    let mut bad = Vec::new();
    for kept in &manifest.files {
        if let Err(error) = compare(state_dir, &manifest, kept, tell) {
            bad.push(told(&error));
        }
    }
    for name in names(&place(state_dir, id))? {
        let is_known = manifest.files.iter().any(|kept| name == file_name(&kept.sheet));
        if name != MANIFEST && !is_known {
            bad.push(format!("{name}: its manifest does not know it"));
        }
    }
    Ok(bad)
}

/// Reads the rows of one sheet of a source, once its file is known to be what was imported; `each`
/// gets their texts. Says how many there are.
///
/// # Errors
/// No such source or sheet, a file that is not what was imported, and what `each` says.
pub fn rows<E: From<HistoryError>>(
    state_dir: &Path,
    id: &str,
    sheet: &Sheet,
    mut each: impl FnMut(&[&str]) -> Result<(), E>,
) -> Result<u64, E> {
    let manifest = manifest(state_dir, id)?;
    let Some(kept) = manifest.files.iter().find(|kept| kept.sheet == sheet.name) else {
        let held: Vec<&str> = manifest.files.iter().map(|kept| kept.sheet.as_str()).collect();
        let what = format!("it has no {}, only {}", sheet.name, held.join(", "));
        return Err(HistoryError::refused(&place(state_dir, id), what).into());
    };
    let path = whole(state_dir, id, kept)?;
    columns::read(&path, sheet, |_, fields| each(fields))
}

/// The path of a file whose bytes are those that were written.
fn whole(state_dir: &Path, id: &str, kept: &Kept) -> Result<PathBuf, HistoryError> {
    let path = place(state_dir, id).join(file_name(&kept.sheet));
    if digest(&path)? == kept.sha256 {
        return Ok(path);
    }
    let what = "its SHA-256 is not that of its manifest: it is not what was imported; remove the \
        source's folder and import it again";
    Err(HistoryError::refused(&path, what))
}

fn compare(
    state_dir: &Path,
    manifest: &Manifest,
    kept: &Kept,
    tell: &mut dyn FnMut(u64),
) -> Result<(), HistoryError> {
    let path = whole(state_dir, manifest.id(), kept)?;
    let Some(sheet) = Sheet::named(&kept.sheet) else {
        return Err(HistoryError::refused(&path, "this program knows no such sheet"));
    };
    let mut watch = Watch::new(sheet);
    columns::read(&path, sheet, |row, fields| {
        tell(row);
        let checked = sheet.cells(fields).and_then(|cells| watch.row(&cells));
        checked.map_err(|fault| HistoryError::Row { path: path.clone(), at: At::Row(row), fault })
    })?;
    let extent = watch.end().map_err(|fault| HistoryError::refused(&path, fault.to_string()))?;
    if extent == kept.extent {
        return Ok(());
    }
    let (have, want) = (extent.rows, kept.extent.rows);
    let what = format!("{have} rows, {want} in its manifest: times, markets or gaps differ");
    Err(HistoryError::refused(&path, what))
}

/// Writes all of a source into a folder that has no name yet.
fn fill(
    scrap: &Path,
    source: &Path,
    sha256: &str,
    given: &Given,
    tell: &mut dyn FnMut(u64),
) -> Result<Manifest, HistoryError> {
    make(scrap)?;
    let mut intake = Intake::new(source, scrap, tell);
    let form = read(source, given, &mut intake)?;
    let done = intake.finish()?;
    if done.is_empty() {
        return Err(HistoryError::refused(source, "it has no rows"));
    }
    if digest(source)? != sha256 {
        return Err(HistoryError::refused(source, "it changed while it was read: try again"));
    }
    let mut files = Vec::new();
    for (sheet, path, extent) in done {
        files.push(Kept { sheet: sheet.name.to_owned(), sha256: digest(&path)?, extent });
    }
    let name = source.file_name().map(|name| name.to_string_lossy().into_owned());
    let bytes = fs::metadata(source).map_err(HistoryError::file(source))?.len();
    let (name, sha256) = (name.unwrap_or_default(), sha256.to_owned());
    let manifest = Manifest {
        layout: LAYOUT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        label: LABEL.to_owned(),
        source: Source { name, sha256, bytes, form },
        files,
    };
    let path = scrap.join(MANIFEST);
    write(&path, &manifest).map_err(HistoryError::file(&path))?;
    Ok(manifest)
}

/// Reads a source by what it holds, whatever it is called; says what it is.
fn read(source: &Path, given: &Given, intake: &mut Intake<'_>) -> Result<String, HistoryError> {
    let mut file = File::open(source).map_err(HistoryError::file(source))?;
    let mut magic = Vec::new();
    (&file).take(4).read_to_end(&mut magic).map_err(HistoryError::file(source))?;
    file.rewind().map_err(HistoryError::file(source))?;
    if magic == b"PAR1" {
        let sheet = columns::sheet_of(source)?;
        let form = format!("{} of tidekeeper, Parquet", sheet.name);
        given.fits(&form, &[]).map_err(|fault| intake.refuse(At::Schema, fault))?;
        columns::read(source, sheet, |row, fields| intake.row(sheet, At::Row(row), fields))?;
        return Ok(form);
    }
    let reader: Box<dyn BufRead> = if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(file))))
    } else {
        Box::new(BufReader::new(file))
    };
    let mut lines = Lines::new(reader);
    let unread = |line: u64, error: io::Error| {
        HistoryError::refused(source, format!("line {line}: {error}"))
    };
    let Some(first) = lines.peek().map_err(|error| unread(1, error))? else {
        return Err(HistoryError::refused(source, "it is empty"));
    };
    if recording::is_one(first) {
        recording::read(&mut lines, given, intake, unread)?;
        return Ok(recording::FORM.to_owned());
    }
    table(&mut lines, given, intake, unread)
}

fn table(
    lines: &mut Lines<impl BufRead>,
    given: &Given,
    intake: &mut Intake<'_>,
    unread: impl Fn(u64, io::Error) -> HistoryError,
) -> Result<String, HistoryError> {
    let head = lines.record().map_err(|error| unread(1, error))?.unwrap_or_default();
    let plan = forms::plan(&head, given).map_err(|fault| intake.refuse(At::Line(1), fault))?;
    loop {
        let record = lines.record().map_err(|error| unread(lines.number(), error))?;
        let Some(record) = record else { return Ok(plan.form) };
        let (at, line) = (At::Line(lines.number()), lines.number().to_string());
        let fields = plan.fields(&record, &line).map_err(|fault| intake.refuse(at, fault))?;
        intake.row(plan.sheet, at, &fields)?;
    }
}

fn id(sha256: &str) -> &str {
    sha256.get(..ID_DIGITS).unwrap_or(sha256)
}

fn place(state_dir: &Path, id: &str) -> PathBuf {
    state_dir.join(FOLDER).join(format!("{PLACE}{id}"))
}

fn file_name(sheet: &str) -> String {
    format!("{sheet}.parquet")
}

fn told(error: &HistoryError) -> String {
    match error {
        HistoryError::File { source, .. } => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

/// Makes a folder unless it is there.
fn make(folder: &Path) -> Result<(), HistoryError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(HistoryError::file(folder))
}

/// Removes what killed imports left; the caller holds the lock.
fn sweep(folder: &Path) -> Result<(), HistoryError> {
    for name in names(folder)?.iter().filter(|name| name.starts_with(SCRAP)) {
        let path = folder.join(name);
        fs::remove_dir_all(&path).map_err(HistoryError::file(&path))?;
    }
    Ok(())
}

/// What a folder holds, sorted; nothing when there is none.
fn names(folder: &Path) -> Result<Vec<String>, HistoryError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(HistoryError::file(folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(HistoryError::file(folder))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// SHA-256 of a file, hex.
fn digest(path: &Path) -> Result<String, HistoryError> {
    let mut sha256 = Sha256::new();
    let read = File::open(path).and_then(|mut file| io::copy(&mut file, &mut sha256));
    read.map_err(HistoryError::file(path))?;
    Ok(hex::encode(sha256.finalize()))
}

fn write(path: &Path, manifest: &Manifest) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(serde_json::to_string_pretty(manifest)?.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}
