//! What tests and documentation examples of the client and the command line run against: the real
//! service in this process ([`Service`]), and an HTTP server that misbehaves as told ([`Scripted`]).
//!
//! Nothing here uses the client, so that the client's own tests can use it. The crate is not
//! published, and the keys in it are test material.

mod keys;
mod scripted;
mod service;

pub use keys::{
    ENCRYPTED_KEY_AES, ENCRYPTED_KEY_DES3, ENCRYPTED_KEY_DES3_SHA1, PASSPHRASE, PKCS1_ENCRYPTED_KEY,
    PKCS1_KEY, PLAIN_KEY, PUBLIC_KEY,
};
pub use scripted::{Answer, Received, Script, Scripted};
pub use service::{Service, example, example_blocking, example_scripted};
