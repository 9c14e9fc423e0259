//! How logins and names are compared: without regard to case, in Rust, the same on every database.

/// Folds a login or a name to the form in which it is stored for comparison.
pub fn fold(text: &str) -> String {
    text.trim().to_lowercase()
}
