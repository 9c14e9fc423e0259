//! Time-based one-time passwords (RFC 6238): HMAC-SHA-1, six digits, steps of 30 seconds, as every
//! authenticator app has them.

use crate::random::{hmac_sha1, is_same};

/// The length of a step.
const STEP_MS: i64 = 30_000;
/// Steps before and after the present one whose codes are taken, for clocks that are off.
const STEPS_OFF: i64 = 1;
/// The alphabet of base32 (RFC 4648).
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Finds the step whose code this is, near `now_ms` and after `last_step`: no code is taken twice.
///
/// Space within the code is left out: people copy it in groups. Takes the same time whatever matches.
pub fn matching_step(secret: &str, code: &str, now_ms: i64, last_step: i64) -> Option<i64> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let key = decode(secret)?;
    let now = now_ms.div_euclid(STEP_MS);
    let mut found = None;
    for step in now - STEPS_OFF..=now + STEPS_OFF {
        if is_same(&code_of(&key, step), &code) && step > last_step {
            found = Some(step);
        }
    }
    found
}

/// The code of a secret at an instant, as an authenticator app shows it; for tests and tools.
pub fn code_at(secret: &str, now_ms: i64) -> Option<String> {
    Some(code_of(&decode(secret)?, now_ms.div_euclid(STEP_MS)))
}

fn code_of(key: &[u8], step: i64) -> String {
    let mac = hmac_sha1(key, &step.to_be_bytes());
    // The dynamic truncation of RFC 4226, section 5.3.
    let at = usize::from(mac[mac.len() - 1] & 0x0f);
    let word = u32::from_be_bytes([mac[at] & 0x7f, mac[at + 1], mac[at + 2], mac[at + 3]]);
    format!("{:06}", word % 1_000_000)
}

/// A key as people type it: base32 without padding.
pub fn encode(key: &[u8]) -> String {
    let bit = |n: usize| key.get(n / 8).is_some_and(|byte| byte >> (7 - n % 8) & 1 == 1);
    let letter = |n: usize| (0..5).fold(0, |value, k| value << 1 | usize::from(bit(n * 5 + k)));
    (0..(key.len() * 8).div_ceil(5)).map(|n| char::from(ALPHABET[letter(n)])).collect()
}

fn decode(secret: &str) -> Option<Vec<u8>> {
    let (mut key, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for letter in secret.bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        bits = bits << 5 | u32::try_from(value).ok()?;
        held += 5;
        if held >= 8 {
            held -= 8;
            key.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(key)
}

/// The address that authenticator apps read from a picture.
pub fn uri(secret: &str, login: &str, issuer: &str) -> String {
    let (login, issuer) = (percent_encoded(login), percent_encoded(issuer));
    format!(
        "otpauth://totp/{issuer}:{login}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period=30"
    )
}

/// Everything but unreserved characters (RFC 3986) is escaped: apps disagree on `+`.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The key of RFC 6238, appendix B: "12345678901234567890".
    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B shows eight digits; six are their end.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code_at(SECRET, seconds * 1_000).as_deref(), Some(code));
        }
    }

    #[test]
    fn one_step_off_is_taken_and_two_are_not() {
        let now = 1_111_111_111_000;
        let step = now / STEP_MS;
        let code = |steps: i64| code_at(SECRET, now + steps * STEP_MS).expect("a code");
        for off in [-1, 0, 1] {
            assert_eq!(matching_step(SECRET, &code(off), now, 0), Some(step + off));
        }
        for off in [-2, 2] {
            assert_eq!(matching_step(SECRET, &code(off), now, 0), None);
        }
    }

    #[test]
    fn no_code_is_taken_twice_nor_one_before_it() {
        let now = 1_111_111_111_000;
        let step = now / STEP_MS;
        let code = code_at(SECRET, now).expect("a code");
        assert_eq!(matching_step(SECRET, &code, now, step), None);
        assert_eq!(matching_step(SECRET, &code, now, step + 1), None);
        assert_eq!(
            matching_step(SECRET, &format!(" {} {} ", &code[..3], &code[3..]), now, step - 1),
            Some(step)
        );
        for wrong in ["", "0", "1234567", &code[..5], "abcdef"] {
            assert_eq!(matching_step(SECRET, wrong, now, 0), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_apps_read_is_escaped() {
        let uri = uri("ABC", "a b@x.example", "lights out");
        assert!(
            uri.starts_with("otpauth://totp/lights%20out:a%20b%40x.example?secret=ABC&issuer=lights%20out&")
        );
    }

    proptest! {
        #[test]
        fn base32_is_read_as_it_was_written(key in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(decode(&encode(&key)), Some(key));
        }
    }
}
