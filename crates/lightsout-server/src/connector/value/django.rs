//! Django's signed session data (`django.core.signing.dumps`): `[.]payload:timestamp:signature`, the
//! payload in URL-safe base64, compressed with zlib where it begins with a dot.
//!
//! The signature is not checked: the key is Django's, and whoever writes the table may sign anyway.

use std::borrow::Cow;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Unreadable;

/// The largest session that is unpacked, in bytes.
const UNPACKED_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The JSON inside.
pub(super) fn unpack(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable("not Django's signed text"))?;
    let mut parts = text.rsplitn(3, ':');
    let (Some(signature), Some(timestamp), Some(payload)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Unreadable("not Django's signed text"));
    };
    if signature.is_empty() || timestamp.is_empty() {
        return Err(Unreadable("Django's signed text without a signature"));
    }
    let (payload, packed) = match payload.strip_prefix('.') {
        Some(payload) => (payload, true),
        None => (payload, false),
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Unreadable("not Django's base64"))?;
    if !packed {
        return Ok(payload.into());
    }
    let mut json = Vec::new();
    let mut reader = flate2::read::ZlibDecoder::new(payload.as_slice()).take(UNPACKED_BYTES_MAX + 1);
    reader.read_to_end(&mut json).map_err(|_| Unreadable("not compressed by zlib"))?;
    if json.len() as u64 > UNPACKED_BYTES_MAX {
        return Err(Unreadable("over 8 MiB unpacked"));
    }
    Ok(json.into())
}
