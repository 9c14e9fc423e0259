//! The service's pages, as a browser without scripts sees them.

mod frame;
mod outside;
mod second_factor;
mod sign_in;
