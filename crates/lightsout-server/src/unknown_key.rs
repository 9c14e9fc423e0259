//! Words for what is wrong in a file: the nearest known key, and never a value.

/// Adds the nearest known key to serde's words for an unknown one; leaves other messages alone.
pub(crate) fn explain(message: &str) -> String {
    let Some((before, words)) = message.split_once("unknown field") else { return message.to_owned() };
    // What follows names the table, not a key.
    let list = words.split(" for key ").next().unwrap_or(words);
    let quoted: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let Some((unknown, known)) = quoted.split_first() else { return message.to_owned() };
    match known.iter().min_by_key(|key| strsim::damerau_levenshtein(unknown, key)) {
        Some(nearest) => {
            let known = known.join(", ");
            format!("{before}unknown key {unknown}; did you mean {nearest}? (known: {known})")
        }
        None => message.to_owned(),
    }
}

/// Takes the values that stood in the file out of a parser's words: they may be secrets. A line of
/// the file is not shown; its number is.
pub(crate) fn without_value(message: &str) -> String {
    let is_shown = |line: &&str| {
        !line.trim_start_matches([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']).starts_with('|')
    };
    let lines: Vec<&str> =
        message.lines().filter(is_shown).map(str::trim).filter(|l| !l.is_empty()).collect();
    let message = lines.join(": ");
    match (message.split_once("string \""), message.rsplit_once("\", expected")) {
        (Some((before, _)), Some((_, after))) => format!("{before}text, expected{after}"),
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_repeated() {
        let toml = "TOML parse error at line 2, column 31\n  |\n2 | url = \"redis://:hunter2@h\n  |      ^\ninvalid basic string, expected `\"`\n";
        assert_eq!(
            without_value(toml),
            "TOML parse error at line 2, column 31: invalid basic string, expected `\"`"
        );
        assert_eq!(
            without_value("invalid type: string \"hunter2\", expected a map"),
            "invalid type: text, expected a map"
        );
    }

    #[test]
    fn nearest_key_is_named_and_so_is_where() {
        let serde = "system shop: unknown field `prefx`, expected one of `url`, `prefix` for key `systems`";
        assert_eq!(
            explain(serde),
            "system shop: unknown key prefx; did you mean prefix? (known: url, prefix)"
        );
        assert_eq!(explain("missing field `url`"), "missing field `url`");
    }
}
