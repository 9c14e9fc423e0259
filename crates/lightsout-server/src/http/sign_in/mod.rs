//! Signing in and out.

mod leave;

pub(super) use self::leave::sign_out;
