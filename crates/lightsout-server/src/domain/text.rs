//! Texts that people give things: names and logins.

/// Trims a name, and says what is wrong with it: "is empty", "has 51 characters; at most 50", "contains a
/// tab".
pub fn name(text: &str, max: usize) -> Result<String, String> {
    let text = checked(text, max)?;
    match text.chars().find(|c| c.is_control()) {
        Some(control) => Err(format!("contains {}", character(control))),
        None => Ok(text.to_owned()),
    }
}

/// The same for a text without any white space, such as a login.
pub fn word(text: &str, max: usize) -> Result<String, String> {
    let text = checked(text, max)?;
    match text.chars().find(|c| c.is_control() || c.is_whitespace()) {
        Some(odd) => Err(format!("contains {}", character(odd))),
        None => Ok(text.to_owned()),
    }
}

/// Says that a text is too long.
pub fn too_long(text: &str, max: usize) -> Option<String> {
    let length = text.chars().count();
    (length > max).then(|| format!("has {length} characters; at most {max}"))
}

fn checked(text: &str, max: usize) -> Result<&str, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    too_long(text, max).map_or(Ok(text), Err)
}

/// A character that nobody can see, in words.
fn character(c: char) -> String {
    match c {
        ' ' => "a space".to_owned(),
        '\t' => "a tab".to_owned(),
        '\n' => "a line break".to_owned(),
        '\r' => "a carriage return".to_owned(),
        c if c.is_control() => format!("the control character U+{:04X}", u32::from(c)),
        c => format!("the white space U+{:04X}", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_name_is_said() {
        for (given, said) in [
            ("", "is empty"),
            (" \t ", "is empty"),
            ("abcdef", "has 6 characters; at most 5"),
            ("äöüßéx", "has 6 characters; at most 5"),
            ("a\tb", "contains a tab"),
            ("a\nb", "contains a line break"),
            ("a\r\nb", "contains a carriage return"),
            ("a\u{7}b", "contains the control character U+0007"),
            ("a\u{85}b", "contains the control character U+0085"),
        ] {
            assert_eq!(name(given, 5), Err(said.to_owned()), "{given:?}");
        }
        assert_eq!(name("  a b\t", 5), Ok("a b".to_owned()));
    }

    #[test]
    fn a_word_has_no_white_space() {
        assert_eq!(word("a b", 5), Err("contains a space".to_owned()));
        assert_eq!(word("a\u{a0}b", 5), Err("contains the white space U+00A0".to_owned()));
        assert_eq!(word("a\tb", 5), Err("contains a tab".to_owned()));
        assert_eq!(word(" ab ", 5), Ok("ab".to_owned()));
    }
}
