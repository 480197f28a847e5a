use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, GzipLevel};
use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::Type;

use super::sheet::{Cell, Column, Kind, Sheet};
use super::{At, Fault, HistoryError, forms};

/// Rows that are packed together: what a reader must unpack to see one of them.
const GROUP_ROWS: usize = 65_536;
/// Rows held at once while reading.
const BATCH_ROWS: usize = 8_192;
/// What is recorded may tell of our trades.
const FILE_MODE: u32 = 0o600;

/// A Parquet file of one sheet, being written; it is no Parquet file before its end.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Buffer>,
    n_buffered: usize,
    writer: SerializedFileWriter<File>,
}

/// The values of one column that wait for their row group.
#[derive(Debug)]
struct Buffer {
    values: Values,
    /// 1 for a value, 0 for none; of columns that may be empty.
    levels: Option<Vec<i16>>,
}

#[derive(Debug)]
enum Values {
    Whole(Vec<i64>),
    Text(Vec<ByteArray>),
}

impl Table {
    /// Begins a file that must not exist.
    ///
    /// # Errors
    /// Of the file system.
    pub fn create(path: &Path, sheet: &Sheet) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
        // Gzip: the one packing that every reader knows and that this program links anyway; its
        // checksums tell a changed page from a whole one.
        let packing = Compression::GZIP(GzipLevel::default());
        let properties = Arc::new(WriterProperties::builder().set_compression(packing).build());
        let schema = Arc::new(schema(sheet).map_err(io::Error::other)?);
        let writer = SerializedFileWriter::new(file, schema, properties);
        let writer = writer.map_err(io::Error::other)?;
        let columns = sheet.columns.iter().map(Buffer::of).collect();
        Ok(Self { columns, n_buffered: 0, writer })
    }

    /// Writes a row of the sheet.
    ///
    /// # Errors
    /// Of the file system.
    pub fn row(&mut self, cells: Vec<Option<Cell>>) -> io::Result<()> {
        for (buffer, cell) in self.columns.iter_mut().zip(cells) {
            buffer.push(cell).map_err(io::Error::other)?;
        }
        self.n_buffered += 1;
        if self.n_buffered < GROUP_ROWS {
            return Ok(());
        }
        self.flush().map_err(io::Error::other)
    }

    /// Writes what makes it a Parquet file, and waits until the disk has it.
    ///
    /// # Errors
    /// Of the file system.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush().map_err(io::Error::other)?;
        self.writer.into_inner().map_err(io::Error::other)?.sync_all()
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.n_buffered == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for buffer in &mut self.columns {
            let Some(mut column) = group.next_column()? else {
                return Err(ParquetError::General("a column has no writer".to_owned()));
            };
            let levels = buffer.levels.as_deref();
            match &buffer.values {
                Values::Whole(values) => {
                    column.typed::<Int64Type>().write_batch(values.as_slice(), levels, None)?
                }
                Values::Text(values) => {
                    column.typed::<ByteArrayType>().write_batch(values.as_slice(), levels, None)?
                }
            };
            column.close()?;
            buffer.clear();
        }
        group.close()?;
        self.n_buffered = 0;
        Ok(())
    }
}

impl Buffer {
    fn of(column: &Column) -> Self {
        let values =
            if column.is_whole() { Values::Whole(Vec::new()) } else { Values::Text(Vec::new()) };
        Self { values, levels: (!column.is_needed).then(Vec::new) }
    }

    fn push(&mut self, cell: Option<Cell>) -> Result<(), &'static str> {
        match (&mut self.levels, &cell) {
            (Some(levels), _) => levels.push(i16::from(cell.is_some())),
            (None, Some(_)) => {}
            (None, None) => return Err("a column lacks a value that every row needs"),
        }
        match (&mut self.values, cell) {
            (_, None) => {}
            (Values::Whole(values), Some(Cell::Whole(number))) => values.push(number),
            (Values::Text(values), Some(Cell::Text(text))) => {
                values.push(ByteArray::from(text.into_bytes()));
            }
            _ => return Err("a value has not the type of its column"),
        }
        Ok(())
    }

    fn clear(&mut self) {
        match &mut self.values {
            Values::Whole(values) => values.clear(),
            Values::Text(values) => values.clear(),
        }
        if let Some(levels) = &mut self.levels {
            levels.clear();
        }
    }
}

fn schema(sheet: &Sheet) -> Result<Type, ParquetError> {
    let mut text = format!("message {} {{\n", sheet.name);
    for column in sheet.columns {
        let presence = if column.is_needed { "required" } else { "optional" };
        let name = column.name;
        let line = match column.kind {
            Kind::Text | Kind::Word(_) | Kind::Decimal | Kind::Integer => {
                format!("{presence} binary {name} (STRING);\n")
            }
            Kind::Count | Kind::Number => format!("{presence} int64 {name};\n"),
            Kind::Nanos => format!("{presence} int64 {name} (TIMESTAMP(NANOS,true));\n"),
            Kind::Seconds => format!("{presence} int64 {name} (TIMESTAMP(MILLIS,true));\n"),
        };
        text.push_str(&line);
    }
    text.push('}');
    parse_message_type(&text)
}

/// The sheet that a Parquet file is of: it must have our columns with our types.
pub(super) fn sheet_of(path: &Path) -> Result<&'static Sheet, HistoryError> {
    let reader = open(path)?;
    let fields = reader.metadata().file_metadata().schema().get_fields();
    let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    let fault = |fault| HistoryError::Row { path: path.to_owned(), at: At::Schema, fault };
    let sheet = forms::sheet_of(&names).map_err(fault)?;
    let ours = schema(sheet).map_err(|error| unread(path, &error))?;
    match ours.get_fields().iter().zip(fields).find(|(ours, theirs)| ours != theirs) {
        Some((ours, _)) => {
            let what = format!("it has not the type that {} have: import it as CSV", sheet.name);
            Err(fault(Fault::new(ours.name(), what)))
        }
        None => Ok(sheet),
    }
}

/// Reads the rows of a sheet from its Parquet file; `each` gets their position, counted from 1, and
/// their texts. Says how many there are.
pub(super) fn read<E: From<HistoryError>>(
    path: &Path,
    sheet: &Sheet,
    mut each: impl FnMut(u64, &[&str]) -> Result<(), E>,
) -> Result<u64, E> {
    if sheet_of(path)?.name != sheet.name {
        return Err(HistoryError::refused(path, format!("it holds no {}", sheet.name)).into());
    }
    let reader = open(path)?;
    let bad = |error: ParquetError| unread(path, &error);
    let mut n_rows = 0;
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index).map_err(bad)?;
        let columns = (0..sheet.columns.len()).map(|index| group.get_column_reader(index));
        let mut columns = columns.collect::<Result<Vec<_>, _>>().map_err(bad)?;
        let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
        while left > 0 {
            let want = left.min(BATCH_ROWS);
            let readers = columns.iter_mut().zip(sheet.columns);
            let texts = readers.map(|(reader, column)| texts(reader, column, want));
            let texts = texts.collect::<Result<Vec<_>, _>>();
            let mut texts: Vec<_> = texts.map_err(bad)?.into_iter().map(Vec::into_iter).collect();
            for _ in 0..want {
                let row: Vec<String> = texts.iter_mut().filter_map(Iterator::next).collect();
                let fields: Vec<&str> = row.iter().map(String::as_str).collect();
                n_rows += 1;
                each(n_rows, &fields)?;
            }
            left -= want;
        }
    }
    Ok(n_rows)
}

fn open(path: &Path) -> Result<SerializedFileReader<File>, HistoryError> {
    let file = File::open(path).map_err(HistoryError::file(path))?;
    SerializedFileReader::new(file).map_err(|error| unread(path, &error))
}

fn unread(path: &Path, error: &ParquetError) -> HistoryError {
    HistoryError::refused(path, format!("it does not read: {error}"))
}

/// The next `want` texts of a column, empty where it has no value.
fn texts(
    reader: &mut ColumnReader,
    column: &Column,
    want: usize,
) -> Result<Vec<String>, ParquetError> {
    let mut levels = Vec::new();
    let (cells, n_rows) = match reader {
        ColumnReader::Int64ColumnReader(reader) => {
            let mut values = Vec::new();
            let (n_rows, ..) = reader.read_records(want, Some(&mut levels), None, &mut values)?;
            (values.into_iter().map(Cell::Whole).collect::<Vec<_>>(), n_rows)
        }
        ColumnReader::ByteArrayColumnReader(reader) => {
            let mut values = Vec::new();
            let (n_rows, ..) = reader.read_records(want, Some(&mut levels), None, &mut values)?;
            let texts = values.iter().map(|value: &ByteArray| value.as_utf8().map(str::to_owned));
            (texts.map(|text| text.map(Cell::Text)).collect::<Result<Vec<_>, _>>()?, n_rows)
        }
        _ => return Err(ParquetError::General(format!("{} is of another type", column.name))),
    };
    let mut cells = cells.into_iter();
    let mut next = || {
        let cell = cells.next().ok_or_else(|| format!("{} ends too early", column.name))?;
        column.text(cell).map_err(|what| format!("{}: {what}", column.name))
    };
    let mut texts = Vec::with_capacity(n_rows);
    for row in 0..want {
        // Columns that every row needs have no levels.
        let has = column.is_needed || levels.get(row) == Some(&1);
        let text = if has { next() } else { Ok(String::new()) };
        texts.push(text.map_err(ParquetError::General)?);
    }
    if n_rows == want {
        return Ok(texts);
    }
    Err(ParquetError::General(format!("{} ends after {n_rows} of {want} rows", column.name)))
}
