//! Random numbers, from the operating system.

/// Fills a buffer from the operating system's source, at once: a crypto library's own generator takes
/// some 25 ms to begin with, which the first termination would wait for.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}

/// 128 random bits in hex: for keys and states that nobody may guess.
pub(crate) fn id() -> String {
    bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number between 0 and 1.
pub(crate) fn fraction() -> f64 {
    f64::from(u32::from_be_bytes(bytes())) / f64::from(u32::MAX)
}
