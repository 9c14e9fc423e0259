//! A provider's keys, made for one test: the private JWK Set as the connector reads it, and the public
//! halves that a relying party verifies with.

use std::collections::HashMap;

use aws_lc_rs::encoding::{AsBigEndian, AsDer};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

/// Public keys by `kid`.
pub(super) type Public = HashMap<String, (Algorithm, DecodingKey)>;

/// A private JWK of this kid, with its public half.
pub(super) fn jwk(algorithm: Algorithm, kid: &str) -> (Value, Public) {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (jwk, public) = match algorithm {
        Algorithm::ES256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
            let point = pair.public_key().as_ref();
            let (x, y) = (text(&point[1..33]), text(&point[33..]));
            let d = pair.private_key().as_be_bytes().expect("its bytes");
            let public = DecodingKey::from_ec_components(&x, &y).expect("a public key");
            (json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "d": text(d.as_ref())}), public)
        }
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::generate().expect("a key");
            let x = text(pair.public_key().as_ref());
            let seed = pair.seed().expect("its seed");
            let d = text(
                AsBigEndian::<aws_lc_rs::encoding::Curve25519SeedBin>::as_be_bytes(&seed)
                    .expect("bytes")
                    .as_ref(),
            );
            let public = DecodingKey::from_ed_components(&x).expect("a public key");
            (json!({"kty": "OKP", "crv": "Ed25519", "x": x, "d": d}), public)
        }
        _ => {
            let numbers = rsa_numbers(&rsa_der()).map(|number| text(&number));
            let public = DecodingKey::from_rsa_components(&numbers[0], &numbers[1]).expect("a public key");
            let mut jwk = json!({"kty": "RSA"});
            for (name, number) in ["n", "e", "d", "p", "q", "dp", "dq", "qi"].into_iter().zip(numbers) {
                jwk[name] = json!(number);
            }
            (jwk, public)
        }
    };
    let mut jwk = jwk;
    jwk["kid"] = json!(kid);
    (jwk, HashMap::from([(kid.to_owned(), (algorithm, public))]))
}

/// An RSA key as PKCS #8, in PEM, with its public half.
pub(super) fn rsa_pem(kid: &str) -> (String, Public) {
    let der = rsa_der();
    let [n, e, ..] = rsa_numbers(&der).map(|number| URL_SAFE_NO_PAD.encode(number));
    let public = DecodingKey::from_rsa_components(&n, &e).expect("a public key");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
    (pem, HashMap::from([(kid.to_owned(), (Algorithm::RS256, public))]))
}

fn rsa_der() -> Vec<u8> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).expect("DER");
    der.as_ref().to_vec()
}

/// n, e, d, p, q, dp, dq, qi out of PKCS #8.
fn rsa_numbers(pkcs8: &[u8]) -> [Vec<u8>; 8] {
    let (_, info, _) = der(pkcs8);
    let (_, _, rest) = der(info);
    let (_, _, rest) = der(rest);
    let (_, octets, _) = der(rest);
    let (_, mut rest, _) = der(octets);
    let mut numbers = Vec::new();
    while !rest.is_empty() {
        let (tag, number, after) = der(rest);
        assert_eq!(tag, 2, "an INTEGER");
        numbers.push(number.strip_prefix(&[0]).unwrap_or(number).to_vec());
        rest = after;
    }
    // The version comes first.
    numbers.remove(0);
    numbers.try_into().expect("eight numbers")
}

/// Tag, content, and what follows.
fn der(bytes: &[u8]) -> (u8, &[u8], &[u8]) {
    let (length, header) = match bytes[1] {
        short @ 0..0x80 => (usize::from(short), 2),
        long => {
            let digits = usize::from(long & 0x7f);
            (bytes[2..2 + digits].iter().fold(0, |n, b| n << 8 | usize::from(*b)), 2 + digits)
        }
    };
    (bytes[0], &bytes[header..header + length], &bytes[header + length..])
}

/// Header and claims of a token, if a relying party that trusts these keys takes it.
pub(super) fn verified(
    token: &str,
    public: &Public,
    issuer: &str,
    client_id: &str,
) -> Option<(Value, Value)> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    let (algorithm, key) = public.get(header.kid.as_ref()?)?;
    let mut validation = Validation::new(*algorithm);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[client_id]);
    // The clock stands where the story is; times are compared with it.
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Value>(token, key, &validation).ok()?.claims;
    let part = token.split('.').next()?;
    let header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    Some((header, claims))
}
