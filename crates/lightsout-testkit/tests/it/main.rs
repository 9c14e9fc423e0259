//! Where the kit itself could be silently wrong.

mod service;
