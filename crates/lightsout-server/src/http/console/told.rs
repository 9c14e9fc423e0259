//! What is told of a session, in the words of pages.

use maud::{Markup, html};

/// A text, or that there is none.
pub(super) fn told(text: Option<&str>) -> Markup {
    html! { @match text { Some(text) => { span { (text) } } None => { span.faint { "not told" } } } }
}

/// A browser by its name and system, its own words on hover; another device as it calls itself.
pub(super) fn device(own: Option<&str>) -> Markup {
    match own.and_then(|own| Some((own, browser(own)?))) {
        Some((own, short)) => html! { span title=(own) { (short) } },
        None => told(own),
    }
}

/// What a `User-Agent` header says in few words, where it is a known browser's.
fn browser(own: &str) -> Option<String> {
    const BROWSERS: [(&str, &str); 6] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("HeadlessChrome/", "Chrome without a window"),
        ("Chrome/", "Chrome"),
        ("Firefox/", "Firefox"),
        ("Version/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 7] = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("CrOS", "ChromeOS"),
        ("Macintosh", "macOS"),
        ("Linux", "Linux"),
    ];
    if !own.starts_with("Mozilla/5.0 (") {
        return None;
    }
    let (mark, name) = BROWSERS.iter().find(|(mark, _)| own.contains(mark))?;
    let version: String = own.split(mark).nth(1)?.chars().take_while(char::is_ascii_digit).collect();
    let (_, system) = SYSTEMS.iter().find(|(mark, _)| own.contains(mark))?;
    Some(format!("{name} {version}, {system}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_browsers_are_named_and_others_keep_their_words() {
        let cases = [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                Some("Edge 142, Windows"),
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
                Some("Chrome 142, Linux"),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1",
                Some("Safari 19, iPhone"),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:144.0) Gecko/20100101 Firefox/144.0",
                Some("Firefox 144, macOS"),
            ),
            ("A phone with Chrome/1", None),
            ("curl/8.5.0", None),
        ];
        for (own, short) in cases {
            assert_eq!(browser(own).as_deref(), short, "{own}");
        }
    }
}
