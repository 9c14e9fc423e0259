//! Where the kit itself could be silently wrong.

mod scripted;
mod service;
