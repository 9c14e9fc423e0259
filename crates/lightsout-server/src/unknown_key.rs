//! Words for a key that a file may not have: the nearest one that it may.

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

#[cfg(test)]
mod tests {
    use super::*;

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
