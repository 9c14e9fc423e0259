//! Markers: where the next page of a list starts, in a form that shows whether it was damaged.
//!
//! A marker is the base64url of a check and the key of the last entry. The check covers the list, too, so
//! a marker of one list is refused by another. It keeps no secret: whoever may read a list may start
//! anywhere in it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::fields::Wrong;
use crate::random::sha256;

/// Characters of the check: 96 bits of a SHA-256.
const CHECK: usize = 16;

/// What is said of a marker that cannot be used.
pub const INVALID: &str = "is invalid; send next_marker of the page before, or start the list again";

/// One list: its name, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct List<'a>(pub &'static str, pub &'a str);

impl List<'_> {
    /// The marker of the entries after a key.
    pub fn marker(self, key: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.check(key) + key)
    }

    /// The key that a marker was made of; none: it is damaged, or of another list.
    pub fn key(self, marker: &str) -> Option<String> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(marker).ok()?).ok()?;
        let (check, key) = text.split_at_checked(CHECK)?;
        (check == self.check(key)).then(|| key.to_owned())
    }

    /// The key after which a page starts: that of the marker in a parameter, or an empty one for the start.
    pub fn after(self, parameter: &'static str, marker: Option<&str>) -> Result<String, Wrong> {
        let Some(marker) = marker else { return Ok(String::new()) };
        self.key(marker).ok_or_else(|| Wrong { field: parameter, message: INVALID.to_owned() })
    }

    fn check(self, key: &str) -> String {
        let Self(name, owner) = self;
        sha256(format!("{name}\0{owner}\0{key}"))[..CHECK].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn marker_of_another_list_is_refused() {
        let marker = List("users", "1").marker("12");
        assert_eq!(List("users", "1").key(&marker).as_deref(), Some("12"));
        assert_eq!(List("users", "2").key(&marker), None);
        assert_eq!(List("groups", "1").key(&marker), None);
    }

    #[test]
    fn every_change_of_one_character_and_every_cut_is_found() {
        let list = List("outcomes", "t_1");
        let marker = list.marker("12.registry");
        for at in 0..marker.len() {
            assert_eq!(list.key(&marker[..at]), None, "cut at {at}");
            assert_eq!(list.key(&marker[at + 1..]), None, "without the first {at}");
            for other in "AZaz09-_=.% é".chars().filter(|c| !marker[at..].starts_with(*c)) {
                let changed = format!("{}{other}{}", &marker[..at], &marker[at + 1..]);
                assert_eq!(list.key(&changed), None, "{changed}");
            }
        }
        for longer in [format!("{marker}A"), format!("{marker}="), format!(" {marker}"), marker.repeat(2)] {
            assert_eq!(list.key(&longer), None, "{longer}");
        }
    }

    proptest! {
        #[test]
        fn markers_are_read_as_they_were_written(key in ".{0,40}", owner in ".{0,10}") {
            let list = List("users", &owner);
            prop_assert_eq!(list.key(&list.marker(&key)), Some(key));
        }

        #[test]
        fn foreign_markers_are_refused_and_never_panic(marker in ".{0,60}") {
            prop_assert_eq!(List("users", "1").key(&marker), None);
        }
    }
}
