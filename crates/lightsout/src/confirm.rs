//! The question before many people are ended.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};

use crate::exit::Usage;
use crate::output::count;

/// More people than this are asked about.
pub(crate) const ASK_ABOVE: u64 = 10;

/// The answer was not the number of people.
#[derive(Debug, thiserror::Error)]
#[error("nothing was ended: the answer was not {}", count(*.people))]
pub(crate) struct Refused {
    people: u64,
}

/// Asks before more than `ASK_ABOVE` people are ended, unless `yes` says that it is meant.
///
/// The question goes to standard error and the answer comes from the terminal, so that standard
/// input and output are free for lists and results. Without a terminal it is a `Usage` error.
pub(crate) fn confirm(people: u64, warnings: &[String], yes: bool) -> anyhow::Result<()> {
    if !is_asked(people, yes) {
        return Ok(());
    }
    let terminal = if io::stderr().is_terminal() { terminal() } else { None };
    let Some(mut terminal) = terminal else {
        let why = format!(
            "this would end the sessions of {} people; add --yes to say that you mean it",
            count(people)
        );
        return Err(Usage(why).into());
    };
    // An interrupt is heard meanwhile, and says something: standard error is not locked.
    let agreed = tokio::task::block_in_place(|| ask(people, warnings, &mut terminal, &mut io::stderr()));
    if agreed? { Ok(()) } else { Err(Refused { people }.into()) }
}

fn is_asked(people: u64, yes: bool) -> bool {
    people > ASK_ABOVE && !yes
}

/// Whether the answer is the number of people, with or without separators between thousands.
fn agrees(answer: &str, people: u64) -> bool {
    let digits: String = answer.chars().filter(|c| !c.is_whitespace() && *c != ',').collect();
    digits == people.to_string()
}

fn ask(
    people: u64,
    warnings: &[String],
    terminal: &mut impl BufRead,
    shown: &mut impl Write,
) -> io::Result<bool> {
    for warning in warnings {
        writeln!(shown, "warning: {warning}")?;
    }
    let number = count(people);
    write!(shown, "This ends every session of {number} people. Type their number to go on: ")?;
    shown.flush()?;
    let mut answer = Vec::new();
    // Bytes, as an answer that is not UTF-8 is a refusal and no failure.
    terminal.read_until(b'\n', &mut answer)?;
    if !answer.ends_with(b"\n") {
        // The input ended, and the cursor still stands behind the question.
        writeln!(shown)?;
    }
    Ok(agrees(&String::from_utf8_lossy(&answer), people))
}

/// The terminal to read from; where there is no /dev/tty, it may be standard input.
fn terminal() -> Option<Box<dyn BufRead>> {
    match File::open("/dev/tty") {
        Ok(tty) => Some(Box::new(BufReader::new(tty))),
        Err(_) if io::stdin().is_terminal() => Some(Box::new(io::stdin().lock())),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(answer: &[u8], people: u64, warnings: &[String]) -> (bool, String) {
        let mut shown = Vec::new();
        let agreed = ask(people, warnings, &mut &*answer, &mut shown).expect("nothing fails in memory");
        (agreed, String::from_utf8(shown).expect("it is text"))
    }

    #[test]
    fn only_many_people_are_asked_about_and_only_without_yes() {
        assert!(!is_asked(0, false) && !is_asked(ASK_ABOVE, false) && !is_asked(1_000, true));
        assert!(is_asked(ASK_ABOVE + 1, false));
    }

    #[test]
    fn nothing_but_the_number_agrees() {
        for answer in ["1234", "1,234", " 1 234\r\n", "1\u{202f}234"] {
            assert!(agrees(answer, 1_234), "{answer:?}");
        }
        for answer in ["", "\n", "y", "yes", "123", "12345", "01234", "-1234", "1234.0", "1234 yes", "0"] {
            assert!(!agrees(answer, 1_234), "{answer:?}");
        }
    }

    #[test]
    fn the_question_shows_the_warnings_and_the_number() {
        let warnings = ["you are among them".to_owned()];
        let question = "warning: you are among them\nThis ends every session of 1,234 people. Type their number to go on: ";
        assert_eq!(answered(b"1,234\nrest", 1_234, &warnings), (true, question.to_owned()));
        assert_eq!(answered(b"", 1_234, &warnings), (false, format!("{question}\n")));
        assert!(!answered(b"\xff\n", 11, &[]).0);
    }

    #[test]
    fn a_refusal_says_that_nothing_was_ended() {
        let refused = Refused { people: 1_234 };
        assert_eq!(refused.to_string(), "nothing was ended: the answer was not 1,234");
    }

    #[test]
    fn few_people_and_yes_need_no_terminal() {
        assert!(confirm(ASK_ABOVE, &[], false).is_ok() && confirm(1_000_000, &[], true).is_ok());
    }
}
