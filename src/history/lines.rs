use std::io::{self, BufRead, Read};

/// Longest line; the longest of a recording is a snapshot of a book.
const LINE_BYTES_MAX: u64 = 8 << 20;
/// Lines that one quoted field may go on for.
const RECORD_LINES_MAX: usize = 1_000;

/// A text read line by line, or as comma-separated records (RFC 4180).
#[derive(Debug)]
pub struct Lines<R> {
    reader: R,
    number: u64,
    ahead: Option<String>,
}

impl<R: BufRead> Lines<R> {
    /// From the start.
    pub fn new(reader: R) -> Self {
        Self { reader, number: 0, ahead: None }
    }

    /// Number of the line that was read last, or does not read, counted from 1; 0 before the first.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line, which stays the next one.
    ///
    /// # Errors
    /// As `line`.
    pub fn peek(&mut self) -> io::Result<Option<&str>> {
        if self.ahead.is_none() {
            self.ahead = self.raw()?;
            self.number -= u64::from(self.ahead.is_some());
        }
        Ok(self.ahead.as_deref().map(bare))
    }

    /// The next line without its end.
    ///
    /// # Errors
    /// Of the file system, of what unpacks it, and a line that is too long or no UTF-8.
    pub fn line(&mut self) -> io::Result<Option<String>> {
        Ok(self.raw()?.map(|line| bare(&line).to_owned()))
    }

    fn raw(&mut self) -> io::Result<Option<String>> {
        if let Some(line) = self.ahead.take() {
            self.number += 1;
            return Ok(Some(line));
        }
        self.number += 1;
        let mut bytes = Vec::new();
        let n_read = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if n_read == 0 {
            self.number -= 1;
            return Ok(None);
        }
        let is_whole = bytes.last() == Some(&b'\n');
        if !is_whole && u64::try_from(n_read) == Ok(LINE_BYTES_MAX) {
            return Err(bad("the line is too long"));
        }
        let mut line = String::from_utf8(bytes).map_err(|_| bad("the line is not UTF-8"))?;
        if is_whole {
            line.pop();
        }
        Ok(Some(line))
    }

    /// The fields of the next record.
    ///
    /// # Errors
    /// As `line`, and quotes that no field can have.
    pub fn record(&mut self) -> io::Result<Option<Vec<String>>> {
        let Some(mut text) = self.raw()? else { return Ok(None) };
        for _ in 0..RECORD_LINES_MAX {
            match fields(bare(&text)).map_err(bad)? {
                Some(fields) => return Ok(Some(fields)),
                None => {
                    let more = self.raw()?.ok_or_else(|| bad("a quoted field has no end"))?;
                    text.push('\n');
                    text.push_str(&more);
                }
            }
        }
        Err(bad("a quoted field goes on for too many lines"))
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A line as other systems end it.
fn bare(line: &str) -> &str {
    line.strip_suffix('\r').unwrap_or(line)
}

/// `None` while a quoted field is open.
fn fields(text: &str) -> Result<Option<Vec<String>>, &'static str> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let (mut is_quoted, mut is_closed) = (false, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if is_quoted => (is_quoted, is_closed) = (false, true),
            _ if is_quoted => field.push(letter),
            ',' => {
                fields.push(std::mem::take(&mut field));
                is_closed = false;
            }
            _ if is_closed => return Err("something follows a quoted field"),
            '"' if field.is_empty() => is_quoted = true,
            '"' => return Err("a quote stands inside of a field that has none around it"),
            _ => field.push(letter),
        }
    }
    fields.push(field);
    Ok((!is_quoted).then_some(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_meant_or_refused() {
        let check = |text: &str, expected: &[&[&str]]| {
            let mut lines = Lines::new(text.as_bytes());
            assert_eq!(lines.peek().unwrap(), text.lines().next());
            assert_eq!(lines.number(), 0);
            for record in expected {
                assert_eq!(lines.record().unwrap().unwrap(), *record, "{text:?}");
            }
            assert_eq!(lines.record().unwrap(), None, "{text:?}");
            assert_eq!(lines.number(), u64::try_from(text.lines().count()).unwrap());
        };
        check("a,b\r\n1,\n", &[&["a", "b"], &["1", ""]]);
        check("\"a,\"\"b\"\"\",c", &[&["a,\"b\"", "c"]]);
        check("\"one\r\ntwo\",3\r\n4,5\n", &[&["one\r\ntwo", "3"], &["4", "5"]]);
        check("", &[]);
        for text in ["\"open", "\"a\"b,c", "a\"b\""] {
            assert!(Lines::new(text.as_bytes()).record().is_err(), "{text}");
        }
        assert!(Lines::new(&b"\xff\n"[..]).line().is_err());
    }
}
