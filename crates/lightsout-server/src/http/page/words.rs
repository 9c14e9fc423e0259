//! Numbers and times as people read them.

use maud::{Markup, html};

use crate::clock::timestamp;

/// `1 session`, `2 sessions`, `12,000 sessions`.
pub(in crate::http) fn counted(n: u64, one: &str, many: &str) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {}", if n == 1 { one } else { many })
}

/// An instant: in UTC, and where scripts run in the reader's own zone, the exact one on hover.
pub(in crate::http) fn instant(ms: i64) -> Markup {
    let exact = timestamp(ms);
    html! {
        time datetime=(exact) title=(exact) data-local { (exact.strftime("%F %T UTC")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_their_noun_agrees() {
        let cases = [(0, "0 cats"), (1, "1 cat"), (999, "999 cats"), (1_000, "1,000 cats")];
        for (n, text) in cases {
            assert_eq!(counted(n, "cat", "cats"), text);
        }
        assert_eq!(counted(12_345_678, "cat", "cats"), "12,345,678 cats");
    }
}
