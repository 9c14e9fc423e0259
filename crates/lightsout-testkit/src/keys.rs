//! One RSA key in the forms that apps hold it in. Test material: it signs nothing else.

/// The private key in PKCS #8, encrypted with AES-256-CBC and PBKDF2 with HMAC-SHA-256.
pub const ENCRYPTED_KEY_AES: &str = include_str!("../keys/encrypted-aes.pem");

/// The same key, encrypted with Triple DES and PBKDF2 with HMAC-SHA-256.
pub const ENCRYPTED_KEY_DES3: &str = include_str!("../keys/encrypted-des3.pem");

/// The same key, encrypted with Triple DES and PBKDF2 with HMAC-SHA-1, the function that RFC 8018
/// means where a key names none.
pub const ENCRYPTED_KEY_DES3_SHA1: &str = include_str!("../keys/encrypted-des3-sha1.pem");

/// The same key in PKCS #8, not encrypted.
pub const PLAIN_KEY: &str = include_str!("../keys/plain.pem");

/// The same key in PKCS #1, not encrypted.
pub const PKCS1_KEY: &str = include_str!("../keys/pkcs1.pem");

/// The same key in PKCS #1, encrypted the way of OpenSSL before PKCS #8.
pub const PKCS1_ENCRYPTED_KEY: &str = include_str!("../keys/pkcs1-encrypted.pem");

/// Its public key.
pub const PUBLIC_KEY: &str = include_str!("../keys/public.pem");

/// Opens the encrypted forms.
pub const PASSPHRASE: &str = "only-for-tests";
