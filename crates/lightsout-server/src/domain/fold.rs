//! How logins and names are compared: without regard to case, in Rust, the same on every database.

/// Folds a login or a name to the form in which it is stored for comparison.
pub fn fold(text: &str) -> String {
    text.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn folding_twice_is_folding_once_and_case_is_gone(text in "[a-zA-Z0-9@._ +-]{0,40}") {
            prop_assert_eq!(fold(&fold(&text)), fold(&text));
            prop_assert_eq!(fold(&text.to_uppercase()), fold(&text));
        }
    }
}
