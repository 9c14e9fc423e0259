//! The secret of a second factor, as text and as a picture for authenticator apps.

use maud::{Markup, PreEscaped, html};
use qrcodegen::{QrCode, QrCodeEcc};

use crate::domain::totp;

/// The quiet zone that readers need, in modules (ISO/IEC 18004).
const MARGIN: i32 = 4;

/// How to set a second factor up.
pub(in crate::http) fn set_up(secret: &str, login: &str) -> Markup {
    let uri = totp::uri(secret, login, "lightsout");
    let groups: Vec<&str> =
        (0..secret.len()).step_by(4).map(|at| &secret[at..secret.len().min(at + 4)]).collect();
    html! {
        div.panel {
            p { "Open an authenticator app and scan the picture, or type the secret into it. Then type the code that it shows." }
            @if let Some(picture) = picture(&uri) { p.picture { (picture) } }
            p { "Secret " code #secret { (groups.join(" ")) } }
        }
    }
}

/// A QR code as SVG, with presentation attributes only: a style would not pass the policy.
fn picture(text: &str) -> Option<Markup> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size() + 2 * MARGIN;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            path.push_str(&format!("M{} {}h1v1h-1z", x + MARGIN, y + MARGIN));
        }
    }
    Some(html! {
        // Numbers and letters of this function alone.
        (PreEscaped(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" width=\"208\" height=\"208\" \
             role=\"img\" aria-label=\"The secret as a picture\" shape-rendering=\"crispEdges\">\
             <rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
        )))
    })
}
