//! What people and programs read: numbers, progress, JSON lines.

use std::fmt::Arguments;
use std::io::{ErrorKind, IsTerminal, Write};
use std::process::exit;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::interrupt;

/// Prints a line. Whoever reads may stop early (`| head`): that ends the program quietly.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use say;

pub(crate) fn line(text: Arguments<'_>) {
    match writeln!(std::io::stdout(), "{}", clean(&text.to_string())) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(0),
        Err(error) => {
            eprintln!("error: cannot write the output: {error}{}", interrupt::words("; "));
            exit(1);
        }
    }
}

/// A text without characters that act on a terminal: names and messages are others' words.
pub(crate) fn clean(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "\u{fffd}")
}

/// The same for a value, which stands in one line and cannot make another.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// A number with commas.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration for people.
pub(crate) fn elapsed(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis().max(1))
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// A bar on a terminal, plain lines elsewhere.
pub(crate) struct Progress {
    label: String,
    total: u64,
    done: u64,
    told: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(label: &str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("  {msg:<12} [{bar:40}] {pos}/{len} people, {elapsed}");
            ProgressBar::new(total)
                .with_style(style.expect("the template is right").progress_chars("=> "))
                .with_message(label.to_owned())
        });
        interrupt::clears(bar.clone());
        Self { label: label.to_owned(), total, done: 0, told: 0, bar }
    }

    pub(crate) fn advance(&mut self, done: u64) {
        self.done = done.min(self.total);
        match &self.bar {
            Some(bar) => bar.set_position(self.done),
            // A line for every tenth.
            None if (self.done - self.told) * 10 >= self.total && self.done < self.total => self.line(),
            None => {}
        }
    }

    /// Says something beside the bar.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{}", clean(text))),
            None => eprintln!("{}", clean(text)),
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    pub(crate) fn finish(mut self) {
        match &self.bar {
            Some(bar) => {
                bar.finish();
                // The bar leaves the cursor behind it.
                eprintln!();
            }
            None => self.line(),
        }
    }

    fn line(&mut self) {
        self.told = self.done;
        eprintln!("  {:<12} {}/{} people", self.label, count(self.done), count(self.total));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_cannot_act_on_the_terminal() {
        assert_eq!(one_line("a\nstate  done"), "a\u{fffd}state  done");
        assert_eq!(clean("a\u{1b}[2Jb\rc\u{9b}d\te\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\te\n");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            (count(7), count(1_000), count(1_234_567)),
            ("7".into(), "1,000".into(), "1,234,567".into())
        );
    }
}
