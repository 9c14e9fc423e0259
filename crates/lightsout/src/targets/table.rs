//! Whom to end, from CSV. A quote that is left open must not hide the people on the lines below it.

use std::io::Cursor;

use csv::{ErrorKind, Position, Reader, ReaderBuilder, StringRecord};

use super::{Targets, first_of, listed};
use crate::exit::Usage;

/// Reads the column with the first of the `names` that the header has.
pub(super) fn read(name: &str, bytes: &[u8], names: &[String], targets: &mut Targets) -> Result<(), Usage> {
    let mut reader = ReaderBuilder::new().flexible(false).from_reader(Cursor::new(bytes));
    let header = reader.headers().cloned();
    let header =
        header.map_err(|_| Usage(format!("{name} has a header that is not UTF-8; save it as UTF-8")))?;
    if header.is_empty() {
        return Ok(());
    }
    if !quotes_hold(&bytes[..place(&reader)]) {
        return Err(Usage(format!("{name} has a header with a quote that is not closed; close it")));
    }
    let cells = header.iter().enumerate().map(|(index, cell)| (cell, index));
    let (kind, index) = first_of(names, cells).ok_or_else(|| no_column(name, &header, names))?;
    let mut lines = Lines { bytes, counted: 0, line: 1 };
    let mut row = StringRecord::new();
    loop {
        let first = past_line_ends(bytes, place(&reader));
        let result = reader.read_record(&mut row);
        let end = place(&reader).max(first);
        if !quotes_hold(&bytes[first..end]) {
            let why = "a quote is not closed, or closed before the field ends";
            targets.settle(name, lines.at(first), Err(why.to_owned()));
            resume_below(&mut reader, bytes, first);
            continue;
        }
        let found = match result {
            Ok(false) => return Ok(()),
            Ok(true) => kind.target(&row[index]),
            Err(error) => Err(why(&error)),
        };
        targets.settle(name, lines.at(first), found);
    }
}

fn no_column(name: &str, header: &StringRecord, names: &[String]) -> Usage {
    let data = |cell: &str| {
        let cell = cell.trim();
        cell.contains('@') || !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit())
    };
    if header.iter().any(data) {
        return Usage(format!(
            "{name} has no header: its first line looks like data; add a line above it that names the columns, such as login or id"
        ));
    }
    let there: Vec<String> = header.iter().map(|cell| cell.trim().escape_debug().to_string()).collect();
    let comma =
        if there.len() == 1 && there[0].contains([';', '\t']) { "; commas separate columns" } else { "" };
    Usage(format!(
        "{name} has no column {}; its columns are {}{comma}; name the one to read with --column",
        listed(names),
        there.join(", ")
    ))
}

fn why(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("fields: {len}, where the header has {expected_len}")
        }
        ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether every quoted field is closed, and ends where its quote does.
///
/// The csv crate reads on to the next quote, or to the end of the file, and so takes the rows
/// between for a part of one field.
fn quotes_hold(row: &[u8]) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Start,
        Plain,
        Quoted,
        Closed,
    }
    let mut at = At::Start;
    for byte in row {
        at = match (at, byte) {
            (At::Quoted, b'"') => At::Closed,
            (At::Quoted, _) | (At::Start | At::Closed, b'"') => At::Quoted,
            (_, b',' | b'\r' | b'\n') => At::Start,
            (At::Closed, _) => return false,
            (At::Start | At::Plain, _) => At::Plain,
        };
    }
    at != At::Quoted
}

/// Where the reader goes on.
fn place(reader: &Reader<Cursor<&[u8]>>) -> usize {
    usize::try_from(reader.position().byte()).expect("it is within a slice")
}

/// A row's position may be that of line ends before it.
fn past_line_ends(bytes: &[u8], place: usize) -> usize {
    place + bytes[place..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// Goes on with the line below the one at `first`.
fn resume_below(reader: &mut Reader<Cursor<&[u8]>>, bytes: &[u8], first: usize) {
    let below = bytes[first..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |n| first + n + 1);
    let mut position = Position::new();
    position.set_byte(below as u64);
    reader.seek(position).expect("every place of a slice can be sought");
}

/// Counts lines on the way down.
struct Lines<'a> {
    bytes: &'a [u8],
    counted: usize,
    line: u64,
}

impl Lines<'_> {
    /// The number of the line at `place`, which is at or below the one asked for last.
    fn at(&mut self, place: usize) -> u64 {
        self.line += self.bytes[self.counted..place].split(|byte| *byte == b'\n').skip(1).count() as u64;
        self.counted = place;
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, parse};
    use super::*;

    fn read(text: &str, column: Option<&str>) -> Result<Targets, String> {
        parse("people.csv", text.as_bytes(), Format::Csv, column).map_err(|error| error.to_string())
    }

    fn people(text: &str) -> (Vec<String>, Vec<(u64, String)>) {
        let targets = read(text, None).expect("it names somebody");
        let who = targets.ids.into_iter().chain(targets.logins).collect();
        (who, targets.rejected.into_iter().map(|rejected| (rejected.line, rejected.why)).collect())
    }

    #[test]
    fn the_first_known_column_is_read_and_its_name_says_the_kind() {
        assert_eq!(people("id,Name, Login \n1,Ann,ann\n").0, ["ann"]);
        assert_eq!(people("id,email\n1,ann@x\n").0, ["ann@x"]);
        assert_eq!(people("id,user_id\r\n1,2\r\n\r\n\"1\",\"3\"\r\n").0, ["2", "3"]);
        let (who, rejected) = people("\u{feff}id\nann@x\n4\n");
        assert_eq!((who, rejected), (vec!["4".to_owned()], vec![(2, "not an id (digits)".to_owned())]));
    }

    #[test]
    fn a_named_column_is_read_by_value_unless_its_name_says_the_kind() {
        let text = "Who,ID\n4,1\nann@x,2\nann,3\n";
        let who = read(text, Some(" wHO ")).expect("it names somebody");
        assert_eq!((who.ids, who.logins, who.rejected[0].line), (vec!["4".into()], vec!["ann@x".into()], 4));
        assert_eq!(read(text, Some("id")).expect("it names somebody").ids, ["1", "2", "3"]);
    }

    #[test]
    fn a_header_that_does_not_serve_says_what_to_do() {
        let wrong = |text, column| read(text, column).expect_err("the header does not serve");
        assert_eq!(
            wrong("name,mail\nAnn,ann@x", None),
            "people.csv has no column login, user_login, email, user_id or id; its columns are name, mail; name the one to read with --column"
        );
        assert_eq!(
            wrong("name,mail\nAnn,ann@x", Some("Post")),
            "people.csv has no column post; its columns are name, mail; name the one to read with --column"
        );
        assert!(wrong("login;name\nann@x;Ann", None).contains("login;name; commas separate columns;"));
        for text in ["ann@x,Ann\nbob@x,Bob", "Ann,12\nBob,13"] {
            assert!(
                wrong(text, None).starts_with("people.csv has no header: its first line looks like data;")
            );
        }
        assert!(wrong("\"login\nann@x", None).contains("a quote that is not closed"));
        let nobody = "people.csv names nobody; write a header, and a person on each line below it";
        assert_eq!((wrong("", None).as_str(), wrong("login\n\n", None).as_str()), (nobody, nobody));
    }

    #[test]
    fn a_bad_row_is_rejected_by_its_line_and_the_others_are_read() {
        let text = "login,name\r\na@x,A\r\n\r\nb@x\r\n,C\r\nd@x,\"D\r\nD\"\r\n\r\ne@x,E,E\r\nf@x,F\r\n";
        let (who, rejected) = people(text);
        assert_eq!(who, ["a@x", "d@x", "f@x"]);
        let expected = [
            (4, "fields: 1, where the header has 2"),
            (5, "empty"),
            (9, "fields: 3, where the header has 2"),
        ];
        assert_eq!(rejected, expected.map(|(line, why)| (line, why.to_owned())));
        let latin = parse("people.csv", b"login,name\na@x,M\xfcller\nb@x,B\n", Format::Csv, None);
        let latin = latin.expect("it names somebody");
        assert_eq!((latin.logins, latin.rejected[0].line), (vec!["b@x".to_owned()], 2));
        assert_eq!(latin.rejected[0].why, "not UTF-8");
    }

    #[test]
    fn an_open_quote_hides_nobody_below_it() {
        let lines = |text: &str| -> (Vec<String>, Vec<u64>) {
            let (who, rejected) = people(text);
            (who, rejected.iter().map(|(line, _)| *line).collect())
        };
        let rest = |who: &[&str]| who.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let open = "login,name\na@x,\"A\nb@x,B\nc@x,C";
        assert_eq!(lines(open), (rest(&["b@x", "c@x"]), vec![2]));
        let next_quotes = "login,name\na@x,\"A\nb@x,\"B\"\nc@x,C\n";
        assert_eq!(lines(next_quotes), (rest(&["b@x", "c@x"]), vec![2]));
        assert_eq!(lines("login\n\"a@x\nb@x\n\"c@x"), (rest(&["b@x"]), vec![2, 4]));
        assert_eq!(
            lines("login,size\na@x,5\" disk\nb@x,\"say \"\"hi\"\"\"\n"),
            (rest(&["a@x", "b@x"]), vec![])
        );
    }
}
