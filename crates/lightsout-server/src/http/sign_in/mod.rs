//! Signing in and out: what a person shows, and the session that follows.

mod enter;
mod leave;
mod password;
mod steps;

pub(super) use self::enter::{enter, form};
pub(super) use self::leave::sign_out;
pub(super) use self::password::{password_form, set_password};
pub(super) use self::steps::{refusal, waiting};
