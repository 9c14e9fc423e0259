//! A person's sessions in other systems, as a part of the person's page.

use maud::{Markup, html};

use super::systems_table::in_words;
use super::told::{device, told};
use crate::domain::outcome::Told;
use crate::http::page::{counted, instant};
use crate::ops::elsewhere::Elsewhere;

/// The table of what each system said.
pub(super) fn sessions_elsewhere(systems: &[Elsewhere]) -> Markup {
    if systems.is_empty() {
        return html! { p.faint { "No other system is configured for this enterprise." } };
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Sessions in other systems" {
            table.cards {
                caption.aside { "Sessions in other systems" }
                thead { tr {
                    th scope="col" { "System" } th scope="col" { "Began" } th scope="col" { "Last seen" }
                    th scope="col" { "Device" } th scope="col" { "Address" }
                } }
                tbody { @for system in systems { (rows(system)) } }
            }
        }
    }
}

/// A row for each session; one row alone where there is none, or none is told.
fn rows(system: &Elsewhere) -> Markup {
    let in_one = |said: Markup| html! { tr { (name(system)) td colspan="4" { (said) } } };
    match &system.sessions {
        Err(why) => in_one(html! { span.tag.warn { "not told" } " " (in_words(why)) }),
        Ok(sessions) if sessions.newest.is_empty() => in_one(html! {
            @if sessions.count == 0 { span.faint { "no session" } }
            @else { (counted(sessions.count, "session", "sessions")) }
        }),
        Ok(sessions) => html! {
            @for session in &sessions.newest { (row(system, session)) }
            @if let Some(more @ 1..) = sessions.count.checked_sub(sessions.newest.len() as u64) {
                (in_one(html! { "and " (counted(more, "more", "more")) }))
            }
        },
    }
}

fn name(system: &Elsewhere) -> Markup {
    html! { th.name scope="row" { (system.system) " " span.faint { (system.kind) } } }
}

fn row(system: &Elsewhere, session: &Told) -> Markup {
    let time = |at: Option<i64>| html! { @if let Some(at) = at { (instant(at)) } @else { (told(None)) } };
    html! {
        tr {
            (name(system))
            td.when data-name="Began" { (time(session.began_at)) }
            td.when data-name="Last seen" { (time(session.last_seen_at)) }
            td.long data-name="Device" { (device(session.device.as_deref())) }
            td data-name="Address" { (told(session.address.as_deref())) }
        }
    }
}
