//! Texts that people give things: names and logins.

/// Trims a name, and says what is wrong with it: "is empty", "has 51 characters; at most 50", "contains a
/// tab".
pub fn name(text: &str, max: usize) -> Result<String, String> {
    let text = checked(text, max)?;
    match text.chars().find(|c| c.is_control() || turns_text(*c)) {
        Some(control) => Err(format!("contains {}", character(control))),
        None => Ok(text.to_owned()),
    }
}

/// The same for a text without any white space or invisible character, such as a login.
pub fn word(text: &str, max: usize) -> Result<String, String> {
    let text = checked(text, max)?;
    match text.chars().find(|c| c.is_control() || c.is_whitespace() || turns_text(*c) || has_no_width(*c)) {
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
    if text.chars().all(has_no_width) {
        return Err("is empty".to_owned());
    }
    too_long(text, max).map_or(Ok(text), Err)
}

/// Breaks a line, or turns the direction of what follows: two names could look the same, or like another.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn has_no_width(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// A character that nobody can see, in words.
fn character(c: char) -> String {
    match c {
        ' ' => "a space".to_owned(),
        '\t' => "a tab".to_owned(),
        '\n' => "a line break".to_owned(),
        '\r' => "a carriage return".to_owned(),
        c if c.is_control() => format!("the control character U+{:04X}", u32::from(c)),
        c if c.is_whitespace() => format!("the white space U+{:04X}", u32::from(c)),
        c => format!("the invisible character U+{:04X}", u32::from(c)),
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
            ("a\u{202e}b", "contains the invisible character U+202E"),
            ("a\u{2028}b", "contains the white space U+2028"),
            ("\u{200b}\u{feff}", "is empty"),
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
        assert_eq!(word("a\u{200b}b", 5), Err("contains the invisible character U+200B".to_owned()));
        // A family of emoji is joined by characters without width.
        assert_eq!(name("\u{1f469}\u{200d}\u{1f467}", 5), Ok("\u{1f469}\u{200d}\u{1f467}".to_owned()));
        assert_eq!(word(" ab ", 5), Ok("ab".to_owned()));
    }
}
