//! Statements with named parameters: read with the database's own rules for text, names and comments,
//! and written out again with numbered ones. A value is bound, never pasted.

use super::database::Kind;

/// A named parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    /// The users looked for, a list.
    Subjects,
    /// The sessions to end, a list.
    Keys,
    /// The last key of the page before.
    After,
    /// The number of rows of a page.
    Limit,
    /// The present, in milliseconds since 1970.
    Now,
}

impl Param {
    const ALL: [(&'static str, Self); 5] = [
        ("subjects", Self::Subjects),
        ("keys", Self::Keys),
        ("after", Self::After),
        ("limit", Self::Limit),
        ("now", Self::Now),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, p)| *p == self).map_or("", |(name, _)| name)
    }

    fn is_list(self) -> bool {
        matches!(self, Self::Subjects | Self::Keys)
    }
}

/// What a statement is for, and so what it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `find_sql`
    Find,
    /// `scan_sql`
    Scan,
    /// `end_sql`
    End,
    /// `user_sql`
    User,
}

impl Purpose {
    /// The key of the configuration.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Find => "find_sql",
            Self::Scan => "scan_sql",
            Self::End => "end_sql",
            Self::User => "user_sql",
        }
    }

    /// What must be there, and what may be.
    fn params(self) -> (&'static [Param], &'static [Param]) {
        match self {
            Self::Find => (&[Param::Subjects], &[Param::Now]),
            Self::Scan => (&[Param::After, Param::Limit], &[Param::Now]),
            Self::End => (&[Param::Keys], &[Param::Now]),
            Self::User => (&[Param::Subjects], &[]),
        }
    }
}

/// A statement that was read.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) purpose: Purpose,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Param(Param),
}

/// Words that a statement which only reads does not hold.
const CHANGING: [&str; 8] = ["insert", "update", "delete", "merge", "truncate", "drop", "alter", "create"];

impl Statement {
    /// Reads a statement, and says what of it cannot work.
    pub(super) fn read(purpose: Purpose, text: &str, kind: Kind) -> Result<Self, String> {
        let wrong = |why: String| format!("{}: {why}", purpose.key());
        let read = Reader::new(text, kind).read().map_err(wrong)?;
        let first = read.words.first().map(String::as_str).unwrap_or_default();
        let reads = purpose != Purpose::End;
        let begins: &[&str] = if reads { &["select", "with"] } else { &["delete", "update", "with"] };
        if !begins.contains(&first) {
            return Err(wrong(format!("it begins with {}", begins.join(" or ").to_uppercase())));
        }
        if let Some(word) = read.words.iter().find(|w| reads && CHANGING.contains(&w.as_str())) {
            return Err(wrong(format!("it only reads, and may not hold {}", word.to_uppercase())));
        }
        let ordered = read.words.windows(2).any(|w| w == ["order", "by"]);
        if purpose == Purpose::Scan && !ordered {
            return Err(wrong(
                "it needs ORDER BY the session's key: pages follow each other by it".to_owned(),
            ));
        }
        let statement = Self { purpose, parts: read.parts };
        statement.check_params().map_err(wrong)?;
        Ok(statement)
    }

    fn check_params(&self) -> Result<(), String> {
        let (needed, optional) = self.purpose.params();
        for (n, part) in self.parts.iter().enumerate() {
            let Part::Param(param) = part else { continue };
            if !needed.contains(param) && !optional.contains(param) {
                let known: Vec<String> =
                    needed.iter().chain(optional).map(|p| format!(":{}", p.name())).collect();
                return Err(format!("it has no :{}; known are {}", param.name(), known.join(", ")));
            }
            if param.is_list() && !(self.ends_with(n, '(') && self.begins_with(n, ')')) {
                return Err(format!("write IN (:{}): it is a list", param.name()));
            }
        }
        match needed.iter().find(|p| !self.parts.contains(&Part::Param(**p))) {
            Some(missing) => Err(format!("it needs :{}", missing.name())),
            None => Ok(()),
        }
    }

    /// Whether what stands before a part ends with a character.
    fn ends_with(&self, n: usize, c: char) -> bool {
        let before = n.checked_sub(1).and_then(|n| self.parts.get(n));
        matches!(before, Some(Part::Text(text)) if text.trim_end().ends_with(c))
    }

    fn begins_with(&self, n: usize, c: char) -> bool {
        matches!(self.parts.get(n + 1), Some(Part::Text(text)) if text.trim_start().starts_with(c))
    }

    /// Whether rows are changed and not deleted.
    pub(super) fn is_update(&self) -> bool {
        let Some(Part::Text(text)) = self.parts.first() else { return false };
        text.trim_start().to_lowercase().starts_with("update")
    }

    /// The parameters in order, a list once.
    pub(super) fn params(&self) -> Vec<Param> {
        let param = |part: &Part| if let Part::Param(param) = part { Some(*param) } else { None };
        self.parts.iter().filter_map(param).collect()
    }

    /// Writes the statement for lists of this length.
    pub(super) fn render(&self, kind: Kind, list: usize) -> String {
        let (mut sql, mut n) = (String::new(), 0);
        for part in &self.parts {
            match part {
                Part::Text(text) => sql.push_str(text),
                Part::Param(param) => {
                    let count = if param.is_list() { list } else { 1 };
                    let number = matches!(param, Param::Limit | Param::Now);
                    let marks: Vec<String> = (0..count)
                        .map(|_| {
                            n += 1;
                            kind.mark(n, number)
                        })
                        .collect();
                    sql.push_str(&marks.join(", "));
                }
            }
        }
        sql
    }
}

/// What a reader collects.
struct Reader<'t> {
    rest: &'t str,
    kind: Kind,
    parts: Vec<Part>,
    text: String,
    words: Vec<String>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, kind: Kind) -> Self {
        let rest = text.trim().trim_end_matches(';').trim_end();
        Self { rest, kind, parts: Vec::new(), text: String::new(), words: Vec::new() }
    }

    fn read(mut self) -> Result<Self, String> {
        while let Some(c) = self.rest.chars().next() {
            let length = match c {
                '\'' | '"' | '`' => self.quoted(c)?,
                '$' => self.dollar()?,
                '-' if self.rest.starts_with("--") => line(self.rest),
                '#' if self.kind == Kind::MySql => line(self.rest),
                '/' if self.rest.starts_with("/*") => {
                    self.rest.find("*/").ok_or("a comment is not closed")? + 2
                }
                ':' if self.rest.starts_with("::") => 2,
                ':' if self.rest[1..].starts_with(starts_word) => {
                    self.param()?;
                    continue;
                }
                '?' if self.kind != Kind::Postgres => {
                    return Err("write parameters by name, such as :subjects, not as ?".to_owned());
                }
                ';' => return Err("one statement only".to_owned()),
                c if starts_word(c) => {
                    let word = word(self.rest);
                    self.words.push(word.to_lowercase());
                    word.len()
                }
                c if c.is_ascii_digit() => word(self.rest).len(),
                c => c.len_utf8(),
            };
            let (taken, rest) = self.rest.split_at(length);
            // A comment is left out: what follows it may stand on the same line afterwards.
            let comment = taken.starts_with("--") || taken.starts_with("/*") || c == '#';
            self.text.push_str(if comment && length > 1 { " " } else { taken });
            self.rest = rest;
        }
        self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        Ok(self)
    }

    /// The length of a quoted text or name.
    fn quoted(&self, quote: char) -> Result<usize, String> {
        let escaped = self.text.ends_with(['e', 'E']) && self.words.last().is_some_and(|w| w == "e");
        let backslash = match self.kind {
            Kind::MySql => quote != '`',
            Kind::Postgres => quote == '\'' && escaped,
            Kind::Sqlite => false,
        };
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c == '\\' && backslash {
                chars.next();
            } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
                return Ok(at + 1);
            }
        }
        Err(format!("a quotation mark {quote} is not closed"))
    }

    /// The length of a text between `$$` or `$tag$`, or of a single `$`.
    fn dollar(&self) -> Result<usize, String> {
        if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return Err("write parameters by name, such as :subjects, not as $1".to_owned());
        }
        let tag = 1 + word(&self.rest[1..]).len();
        if self.kind != Kind::Postgres || !self.rest[tag..].starts_with('$') {
            return Ok(1);
        }
        let (tag, body) = self.rest.split_at(tag + 1);
        let end = body.find(tag).ok_or_else(|| format!("a text that begins with {tag} is not closed"))?;
        Ok(tag.len() * 2 + end)
    }

    fn param(&mut self) -> Result<(), String> {
        let name = word(&self.rest[1..]);
        let Some((_, param)) = Param::ALL.iter().find(|(known, _)| *known == name) else {
            let known: Vec<String> = Param::ALL.iter().map(|(name, _)| format!(":{name}")).collect();
            return Err(format!("unknown parameter :{name}; known are {}", known.join(", ")));
        };
        self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        self.parts.push(Part::Param(*param));
        self.rest = &self.rest[1 + name.len()..];
        Ok(())
    }
}

fn starts_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

fn line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, kind: Kind) -> Result<String, String> {
        Ok(Statement::read(Purpose::Find, text, kind)?.render(kind, 2))
    }

    #[test]
    fn parameters_are_told_from_casts_texts_names_and_comments() {
        let text = "SELECT u::text AS subject, ':now' AS \":after\" -- :limit\n, $$:keys$$, $t$:no$t$, E'\\':now' \
                    FROM s /* :nothing */ WHERE u IN ( :subjects ) AND e > :now;";
        let sql = find(text, Kind::Postgres).expect("a statement");
        assert_eq!(
            sql,
            "SELECT u::text AS subject, ':now' AS \":after\"  \n, $$:keys$$, $t$:no$t$, E'\\':now' FROM s   WHERE u IN ( $1, $2 ) AND e > CAST($3 AS BIGINT)"
        );
        let sql = find("SELECT 'it\\':s', `:a` FROM s # :x\nWHERE u IN (:subjects)", Kind::MySql);
        assert_eq!(sql.expect("a statement"), "SELECT 'it\\':s', `:a` FROM s  \nWHERE u IN (?, ?)");
        let sql = find("SELECT 'a\\', u FROM s WHERE u IN (:subjects)", Kind::Sqlite);
        assert_eq!(sql.expect("no escape"), "SELECT 'a\\', u FROM s WHERE u IN (?, ?)");
    }

    #[test]
    fn what_cannot_work_is_said() {
        for (text, why) in [
            ("SELECT 1", "find_sql: it needs :subjects"),
            ("SELECT :who", "find_sql: unknown parameter :who"),
            ("SELECT 1 WHERE u IN (:subjects) AND k > :after", "find_sql: it has no :after"),
            ("SELECT 1 WHERE u = :subjects", "find_sql: write IN (:subjects)"),
            ("SELECT 1 WHERE u IN (:subjects); DELETE FROM s", "find_sql: one statement only"),
            ("DELETE FROM s WHERE u IN (:subjects)", "find_sql: it begins with SELECT or WITH"),
            ("WITH d AS (DELETE FROM s RETURNING *) SELECT 1 WHERE u IN (:subjects)", "may not hold DELETE"),
            ("SELECT 'x WHERE u IN (:subjects)", "a quotation mark ' is not closed"),
            ("SELECT 1 WHERE u IN ($1, :subjects)", "by name"),
        ] {
            let error = find(text, Kind::Postgres).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
        let scan = "SELECT k AS session_key, v AS value FROM s WHERE k > :after LIMIT :limit";
        let error = Statement::read(Purpose::Scan, scan, Kind::Sqlite).expect_err("no order");
        assert!(error.contains("ORDER BY"), "{error}");
    }
}
