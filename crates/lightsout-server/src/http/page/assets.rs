//! The files that pages need, inside the binary. Their names carry their digest, so browsers keep them.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::http::failure::Failure;
use crate::http::middleware::not_found;
use crate::random::sha256_hex;

/// One file: its name with the digest in it, its type, its text.
pub(super) struct Asset {
    name: String,
    kind: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, text: &'static str) -> Self {
        let digest = &sha256_hex(text.as_bytes())[..12];
        Self { name: format!("{stem}.{digest}.{extension}"), kind, text }
    }

    /// Where a browser finds it.
    pub(super) fn path(&self) -> String {
        format!("/console/assets/{}", self.name)
    }
}

pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let text = concat!(include_str!("assets/console.css"), include_str!("assets/watch.css"));
    Asset::new("console", "css", "text/css; charset=utf-8", text)
});
pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("console", "js", "text/javascript; charset=utf-8", include_str!("assets/console.js"))
});
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")));

/// `GET /console/assets/{name}`.
pub(in crate::http) async fn asset(Path(name): Path<String>) -> Result<Response, Failure> {
    let assets: [&Asset; 3] = [&STYLE, &SCRIPT, &ICON];
    let Some(asset) = assets.into_iter().find(|asset| asset.name == name) else {
        return Err(not_found().await);
    };
    let headers =
        [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, asset.text).into_response())
}
