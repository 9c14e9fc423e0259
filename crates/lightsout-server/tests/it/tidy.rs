//! Keeps the house rules that no compiler knows: the import table, file sizes, tests that never sleep.
//!
//! The import table is the one in `docs/ARCHITECTURE.md`: rows of `module | may import | ...` with
//! module names in backticks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;
/// Macros stand at the root of the crate; they belong to the module that defines them.
const MACROS: [(&str, &str); 1] = [("args", "store")];
/// Written in two parts, because this file is searched, too.
const SLEEP: &str = concat!("sleep", "(");

type Table = BTreeMap<String, BTreeSet<String>>;

#[test]
fn modules_import_what_the_table_allows() {
    let table = import_table();
    let source = repository().join("crates/lightsout-server/src");
    let mut complaints = Vec::new();
    let mut met = BTreeSet::new();
    for file in rust_files(&source) {
        let inside = file.strip_prefix(&source).expect("found below it");
        let module = module_of(inside);
        if module == "lib" {
            continue;
        }
        met.insert(module.clone());
        let Some(allowed) = table.get(&module) else { continue };
        let text = read(&file);
        for (line, name) in imports(&text, inside, &table) {
            if name != module && !allowed.contains(&name) {
                let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
                complaints.push(format!(
                    "{}:{line}: module {module} imports {name}; docs/ARCHITECTURE.md allows it: {}",
                    file.display(),
                    if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") }
                ));
            }
        }
        for (line, _) in places(&text, "super::super") {
            complaints.push(format!("{}:{line}: write crate:: instead of super::super", file.display()));
        }
    }
    for module in met.iter().filter(|m| !table.contains_key(*m)) {
        complaints.push(format!("module {module} has no row in the import table of docs/ARCHITECTURE.md"));
    }
    for module in table.keys().filter(|m| !met.contains(*m)) {
        complaints
            .push(format!("the import table of docs/ARCHITECTURE.md has a row for {module}, which is gone"));
    }
    assert_tidy(&complaints);
}

#[test]
fn import_table_has_no_circle() {
    let table = import_table();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    while done.len() < table.len() {
        let before = done.len();
        for (module, allowed) in &table {
            if allowed.iter().all(|name| done.contains(name.as_str())) {
                done.insert(module);
            }
        }
        let left: Vec<&str> = table.keys().map(String::as_str).filter(|m| !done.contains(m)).collect();
        assert!(done.len() > before, "these modules may import each other in a circle: {}", left.join(", "));
    }
}

#[test]
fn files_are_short() {
    let mut complaints = Vec::new();
    for file in rust_files(&repository().join("crates")) {
        let lines = read(&file).lines().count();
        if lines > LINES_MAX {
            complaints.push(format!("{}: {lines} lines; at most {LINES_MAX}, so split it", file.display()));
        }
    }
    assert_tidy(&complaints);
}

#[test]
fn tests_never_sleep() {
    let mut complaints = Vec::new();
    for file in rust_files(&repository().join("crates")) {
        let text = read(&file);
        let is_test = file.components().any(|part| part.as_os_str() == "tests");
        let from = if is_test { Some(0) } else { text.find("#[cfg(test)]") };
        let Some(from) = from else { continue };
        for (line, at) in places(&text, SLEEP) {
            if at >= from {
                complaints.push(format!(
                    "{}:{line}: a test sleeps; advance the manual clock, or wait for a condition",
                    file.display()
                ));
            }
        }
    }
    assert_tidy(&complaints);
}

/// The table under the heading "Import table": module and the modules that it may import.
fn import_table() -> Table {
    let file = repository().join("docs/ARCHITECTURE.md");
    let text = read(&file);
    let section = text.split("\n## ").find(|s| s.starts_with("Import table")).unwrap_or_else(|| {
        panic!("{} has no section named Import table", file.display());
    });
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let table: Table = rows
        .map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(quoted);
            let (module, allowed) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
            assert_eq!(module.len(), 1, "this row names not one module: {row}");
            (module.into_iter().collect(), allowed)
        })
        .collect();
    let unknown: Vec<&String> = table.values().flatten().filter(|name| !table.contains_key(*name)).collect();
    assert!(unknown.is_empty(), "the import table allows modules without a row: {unknown:?}");
    assert!(!table.is_empty(), "the import table of {} has no rows", file.display());
    table
}

/// The words in backticks.
fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

/// The top-level module that a file below `src` belongs to.
fn module_of(inside: &Path) -> String {
    let first = inside.components().next().expect("a file has a name").as_os_str();
    Path::new(first).file_stem().expect("a file has a name").to_string_lossy().into_owned()
}

/// The top-level modules that a file names, with the lines where it does.
fn imports(text: &str, inside: &Path, table: &Table) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = places(text, "crate::")
        .into_iter()
        .flat_map(|(line, at)| names(&text[at + "crate::".len()..]).into_iter().map(move |n| (line, n)))
        .collect();
    // In these files `super` is the root of the crate.
    if inside.components().count() == 1 || inside.ends_with("mod.rs") && inside.components().count() == 2 {
        for (line, at) in places(text, "super::") {
            let above = names(&text[at + "super::".len()..]);
            found.extend(above.into_iter().filter(|n| table.contains_key(n)).map(|n| (line, n)));
        }
    }
    for (_, name) in &mut found {
        if let Some((_, module)) = MACROS.iter().find(|(name_of_macro, _)| name_of_macro == name) {
            (*module).clone_into(name);
        }
    }
    found
}

/// The first names of a path: one, or those of a list in braces.
fn names(path: &str) -> Vec<String> {
    let Some(list) = path.strip_prefix('{') else { return vec![word(path)] };
    let (mut names, mut depth, mut start) = (Vec::new(), 1, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {
                names.push(word(&list[start..at]));
                start = at + 1;
            }
            _ => {}
        }
        if depth == 0 {
            names.push(word(&list[start..at]));
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Where a pattern stands as a word of its own outside comment lines: line number and byte.
fn places(text: &str, pattern: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = 0;
    for (n, line) in text.split_inclusive('\n').enumerate() {
        if !line.trim_start().starts_with("//") {
            let own = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            found.extend(
                line.match_indices(pattern).filter(|(at, _)| own(*at)).map(|(at, _)| (n + 1, start + at)),
            );
        }
        start += line.len();
    }
    found
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the crate is in the repository")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("cannot list {}: {e}", folder.display())) {
        let path = entry.expect("a folder lists its entries").path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()))
}

fn assert_tidy(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
