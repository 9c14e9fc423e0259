//! Signing in and out: what a person shows, and the session that follows.

mod code;
mod enter;
mod leave;
mod link;
mod outside;
mod password;
mod picture;
mod steps;

pub(super) use self::code::{code_field, code_form, enter_code};
pub(super) use self::enter::{enter, form};
pub(super) use self::leave::sign_out;
pub(super) use self::link::follow_link;
pub(super) use self::outside::{ask_provider, provider_answers};
pub(super) use self::password::{password_form, set_password};
pub(super) use self::picture::set_up;
pub(super) use self::steps::{refusal, waiting};
