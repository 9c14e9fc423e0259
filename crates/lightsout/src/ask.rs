//! Secrets that are asked for.

use std::io::{BufRead, IsTerminal};

use anyhow::Context;
use rustix::termios;
use secrecy::SecretString;

use crate::exit::Usage;

/// Asks for a secret without showing it; without a terminal it is the first line of standard input.
pub(crate) async fn ask(question: &'static str) -> anyhow::Result<SecretString> {
    let none = || Usage("no secret was given; type it when asked, or pipe it to standard input".to_owned());
    Ok(ask_or_none(question).await?.ok_or_else(none)?)
}

/// The same where there may be none.
pub(crate) async fn ask_or_none(question: &'static str) -> anyhow::Result<Option<SecretString>> {
    let secret = if std::io::stdin().is_terminal() {
        ask_terminal(question).await?
    } else {
        let mut line = String::new();
        tokio::task::block_in_place(|| std::io::stdin().lock().read_line(&mut line))
            .context("cannot read it from standard input")?;
        line
    };
    let secret = secret.trim();
    Ok((!secret.is_empty()).then(|| secret.to_owned().into()))
}

pub(crate) async fn ask_terminal(question: &'static str) -> anyhow::Result<String> {
    let _echo = Echo(termios::tcgetattr(std::io::stdin()).context("cannot ask for it")?);
    tokio::task::spawn_blocking(move || rpassword::prompt_password(question))
        .await?
        .context("cannot ask for it")
}

/// Leaves the terminal as it was, with echo, also when an interrupt ends the question.
struct Echo(termios::Termios);

impl Drop for Echo {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = termios::tcsetattr(std::io::stdin(), termios::OptionalActions::Now, &self.0);
    }
}
