//! Pure decisions. No async, no I/O, no clock of its own.

pub mod access;
pub mod chain;
pub mod circuit;
pub mod fields;
pub mod fold;
pub mod grant;
pub mod marker;
pub mod outcome;
pub mod redirect;
pub mod text;
pub mod totp;
