//! Where the rows of a source are checked and written, each into the file of its sheet.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use super::columns::Table;
use super::sheet::Sheet;
use super::watch::{Extent, Watch};
use super::{At, Fault, HistoryError};

/// The files of one source, being written into a folder of their own.
pub(super) struct Intake<'a> {
    source: &'a Path,
    dir: &'a Path,
    files: BTreeMap<&'static str, Sheeted>,
    n_rows: u64,
    tell: &'a mut dyn FnMut(u64),
}

struct Sheeted {
    sheet: &'static Sheet,
    path: PathBuf,
    table: Table,
    watch: Watch,
}

impl<'a> Intake<'a> {
    /// `tell` hears how many rows were taken.
    pub(super) fn new(source: &'a Path, dir: &'a Path, tell: &'a mut dyn FnMut(u64)) -> Self {
        Self { source, dir, files: BTreeMap::new(), n_rows: 0, tell }
    }

    /// Takes a row.
    pub(super) fn row(
        &mut self,
        sheet: &'static Sheet,
        at: At,
        fields: &[&str],
    ) -> Result<(), HistoryError> {
        let file = match self.files.entry(sheet.name) {
            Entry::Occupied(file) => file.into_mut(),
            Entry::Vacant(place) => place.insert(Sheeted::create(self.dir, sheet)?),
        };
        let cells = sheet.cells(fields).and_then(|cells| {
            file.watch.row(&cells)?;
            Ok(cells)
        });
        let cells = cells.map_err(|fault| refuse(self.source, at, fault))?;
        file.table.row(cells).map_err(HistoryError::file(&file.path))?;
        self.n_rows += 1;
        (self.tell)(self.n_rows);
        Ok(())
    }

    /// A fault in the source, with its place.
    pub(super) fn refuse(&self, at: At, fault: Fault) -> HistoryError {
        refuse(self.source, at, fault)
    }

    /// Ends all files; what each of them holds.
    pub(super) fn finish(self) -> Result<Vec<(&'static Sheet, PathBuf, Extent)>, HistoryError> {
        let mut done = Vec::new();
        for file in self.files.into_values() {
            let Sheeted { sheet, path, table, watch } = file;
            table.finish().map_err(HistoryError::file(&path))?;
            let fault = |fault: Fault| HistoryError::refused(self.source, fault.to_string());
            done.push((sheet, path, watch.end().map_err(fault)?));
        }
        Ok(done)
    }
}

impl Sheeted {
    fn create(dir: &Path, sheet: &'static Sheet) -> Result<Self, HistoryError> {
        let path = dir.join(format!("{}.parquet", sheet.name));
        let table = Table::create(&path, sheet).map_err(HistoryError::file(&path))?;
        Ok(Self { sheet, path, table, watch: Watch::new(sheet) })
    }
}

fn refuse(source: &Path, at: At, fault: Fault) -> HistoryError {
    HistoryError::Row { path: source.to_owned(), at, fault }
}
