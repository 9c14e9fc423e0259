//! The same for programs without async: each method waits for its answer.
