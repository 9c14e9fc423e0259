//! Sessions by system, as a part of several pages.

use axum::http::Uri;
use lightsout_api::SystemPreview;
use maud::{Markup, html};

use crate::http::page::counted;

/// The part of a page that the page's script fills in from `load`; without scripts a link to `ask`.
pub(super) fn asked_later(load: &str, ask: &str, link: &str) -> Markup {
    html! {
        div data-load=(load) data-loading="Asking the systems for at most 5 seconds..." aria-live="polite" {
            p { a href=(ask) { (link) } }
        }
    }
}

/// The table of what each system said.
pub(super) fn systems_table(caption: &str, systems: &[SystemPreview]) -> Markup {
    if systems.is_empty() {
        return html! { p.faint { "No other system is configured for this enterprise." } };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table.systems {
                caption.aside { (caption) }
                thead { tr { th scope="col" { "System" } th.number scope="col" { "Sessions" } th scope="col" { "Remark" } } }
                tbody {
                    @for system in systems {
                        tr {
                            th scope="row" { (system.system) }
                            td.number {
                                @match system.sessions {
                                    Some(n) => { (number(n)) }
                                    None => { span.tag.warn { "not told" } }
                                }
                            }
                            td { @if let Some(reason) = &system.reason { (in_words(reason)) } }
                        }
                    }
                }
            }
        }
    }
}

/// `12,000`.
pub(super) fn number(n: u64) -> String {
    counted(n, "", "").trim_end().to_owned()
}

/// A reason without the outcome's name in front: that is for programs.
pub(super) fn in_words(reason: &str) -> &str {
    let words = ["ends_by", "delivered_not_verified", "unknown_sessions", "no_subject"];
    match reason.split_once(": ") {
        Some((word, rest)) if words.contains(&word) => rest,
        _ => reason,
    }
}

/// The path and query of a page, with `ask=1`.
pub(super) fn asking(uri: &Uri) -> String {
    let joint = if uri.query().is_some() { '&' } else { '?' };
    format!("{uri}{joint}ask=1#systems")
}
