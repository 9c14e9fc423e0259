//! What a configuration comes to: the statements that will run, checked without a database.

use super::config::{SqlConfig, Unit};
use super::database::Kind;
use super::presets::{Form, Preset, Texts};
use super::statement::{Purpose, Statement};
use super::value::Times;
use super::{Explanation, Format, Path};

/// The statements, and how what they select is read.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) user: Option<Statement>,
    pub(super) look: Look,
    pub(super) end: Statement,
    /// The table of sessions, where it is known, written as the database wants it.
    pub(super) table: Option<String>,
    pub(super) times: Times,
    words: Explanation,
}

/// How sessions are looked for.
#[derive(Clone, Debug)]
pub(super) enum Look {
    /// By user.
    Find(Statement),
    /// In every row.
    Scan(Scan),
}

/// A pass over every row.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub(super) statement: Statement,
    pub(super) format: Format,
    pub(super) user_path: Path,
    pub(super) began_at_path: Option<Path>,
    /// Whether the path is the package's own, and so right although nobody is signed in. axum-login's,
    /// in tower-sessions, is only likely.
    pub(super) path_is_known: bool,
}

impl Plan {
    /// Puts the keys of a configuration over those of its preset.
    pub(super) fn new(config: &SqlConfig, kind: Kind) -> Result<Self, String> {
        let (texts, table) = match config.preset {
            None => (None, config.table.clone()),
            Some(preset) => {
                let table = config.table.clone().unwrap_or_else(|| preset.table(kind).to_owned());
                let texts = preset
                    .texts(kind, &table)
                    .ok_or_else(|| format!("preset: this package does not store in {}", kind.name()))?;
                (Some(texts), Some(table))
            }
        };
        let texts = texts.as_ref();
        let look = look(config, kind, texts)?;
        let end = config.end_sql.as_ref().or(texts.map(|t| &t.end));
        let end = end.ok_or("end_sql: it ends the sessions of :keys, and a preset has one")?;
        let end = Statement::read(Purpose::End, end, kind)?;
        let user = user_sql(config, kind, texts)?;
        let user = user.map(|sql| Statement::read(Purpose::User, &sql, kind)).transpose()?;
        let times = Times {
            unit_ms: if config.began_at_unit == Unit::S { 1_000 } else { 1 },
            are_utc: config.times_are_utc,
        };
        let table = table.filter(|_| config.preset.is_some());
        let names = config.preset.and_then(|_| texts.and_then(|t| t.user));
        let words = Words { table: table.as_deref(), user: user_words(config, names, user.is_some()) }
            .explain(&look, &end);
        Ok(Self { kind, user, look, end, table: table.map(|t| kind.quote(&t)), times, words })
    }

    pub(super) fn explain(&self) -> Explanation {
        self.words.clone()
    }
}

fn look(config: &SqlConfig, kind: Kind, texts: Option<&Texts>) -> Result<Look, String> {
    let form = match (&config.find_sql, &config.scan_sql, texts) {
        (Some(_), Some(_), _) => return Err("write find_sql or scan_sql, not both".to_owned()),
        (Some(find), None, _) => Form::Find(find.clone()),
        (None, Some(scan), _) => Form::Scan(scan.clone()),
        (None, None, Some(texts)) => texts.form.clone(),
        (None, None, None) => return Err("write preset, or find_sql or scan_sql with end_sql".to_owned()),
    };
    match form {
        Form::Find(sql) => {
            let only_scan = [
                ("user_path", config.user_path.is_some()),
                ("began_at_path", config.began_at_path.is_some()),
            ];
            if let Some((key, _)) = only_scan.iter().find(|(_, set)| *set) {
                return Err(format!("{key}: it is for scan_sql; this looks by user"));
            }
            Ok(Look::Find(Statement::read(Purpose::Find, &sql, kind)?))
        }
        Form::Scan(sql) => {
            let path_is_known = config.user_path.is_none() && config.preset == Some(Preset::Django);
            let user_path = config.user_path.clone().or_else(|| texts.and_then(|t| t.user_path.clone()));
            let user_path =
                user_path.ok_or("user_path: where the user stands in the session, such as passport.user")?;
            Ok(Look::Scan(Scan {
                statement: Statement::read(Purpose::Scan, &sql, kind)?,
                format: config.format.or(texts.map(|t| t.format)).unwrap_or_default(),
                path_is_known,
                user_path,
                began_at_path: config.began_at_path.clone(),
            }))
        }
    }
}

/// The statement that looks users up, if they are looked up.
fn user_sql(config: &SqlConfig, kind: Kind, texts: Option<&Texts>) -> Result<Option<String>, String> {
    if let Some(sql) = &config.user_sql {
        return Ok(Some(sql.clone()));
    }
    if config.user_column.as_deref() == Some("") {
        return Ok(None);
    }
    let known = texts.and_then(|t| t.user);
    let own = config.user_table.is_some() || config.user_column.is_some() || config.user_key_column.is_some();
    if !own && known.is_none() {
        return Ok(texts.and_then(|t| t.user_sql.clone()));
    }
    let or_known = |own: &Option<String>, n: usize| {
        own.clone().or_else(|| known.map(|names| names[n].to_owned())).filter(|name| !name.is_empty())
    };
    let table = or_known(&config.user_table, 0).ok_or("user_table: the table of users")?;
    let column = or_known(&config.user_column, 1).ok_or("user_column: the column that holds the subject")?;
    let key = or_known(&config.user_key_column, 2).unwrap_or_else(|| "id".to_owned());
    let [table, column, key] = [table, column, key].map(|name| kind.quote(&name));
    Ok(Some(format!(
        "SELECT {column} AS subject, {key} AS user_key FROM {table} WHERE {column} IN (:subjects)"
    )))
}

/// How a user's key in the sessions comes about.
fn user_words(config: &SqlConfig, known: Option<[&str; 3]>, looked_up: bool) -> String {
    if !looked_up {
        return "the subject".to_owned();
    }
    if config.user_sql.is_some() {
        return "the user_key that user_sql gives for the subject".to_owned();
    }
    let table = config.user_table.as_deref().or(known.map(|names| names[0]));
    let column = config.user_column.as_deref().or(known.map(|names| names[1]));
    match (table, column) {
        (Some(table), Some(column)) => {
            format!("the key that the look-up of users by {table}.{column} gives for the subject")
        }
        _ => "the key that the look-up of users gives for the subject".to_owned(),
    }
}

struct Words<'w> {
    table: Option<&'w str>,
    user: String,
}

impl Words<'_> {
    fn explain(&self, look: &Look, end: &Statement) -> Explanation {
        let user = &self.user;
        let place = |key: &str| {
            self.table.map_or_else(|| format!("what {key} selects"), |t| format!("the table {t}"))
        };
        let matched = match look {
            Look::Find(_) => format!("live rows of {} that belong to {user}", place("find_sql")),
            Look::Scan(scan) => format!(
                "live rows of {}, all read in one pass, whose {} at {} is {user}",
                place("scan_sql"),
                if scan.format == Format::Django { "signed value" } else { "value" },
                scan.user_path
            ),
        };
        let ended = if end.is_update() {
            "the row is marked as ended by UPDATE, by its key"
        } else {
            "the row is deleted, by its key"
        };
        let proven = "looked for again after the quiet time";
        Explanation { matched, ended: ended.to_owned(), proven: proven.to_owned() }
    }
}
