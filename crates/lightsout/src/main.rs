//! The `lightsout` command: the service, its set-up, and a client.

mod admin;
mod apps;
mod ask;
mod confirm;
mod connect;
mod demo;
mod directory;
mod events;
mod exit;
mod follow;
mod generate;
mod interrupt;
mod login;
mod name;
#[cfg(test)]
mod named_commands;
mod on_box;
mod output;
mod people;
mod profile;
mod report;
mod serve;
mod sign_in;
mod systems;
mod targets;
mod terminate;
mod terminations;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Ends every session of a user or a group, in every system they are signed in to, and proves it.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows everything in a minute: makes an enterprise, ends one group, proves it.
    Demo(demo::Demo),
    /// Runs the service.
    Serve(serve::Serve),
    /// Sets the service up, on its own machine.
    Admin(admin::Admin),
    /// Looks at the systems where sessions live, on the service's own machine.
    Systems(systems::Systems),
    /// Makes a profile: where to go and as whom. It is tried before it is kept.
    Login(login::Login),
    /// Forgets a profile, and ends its sign-in at the server if a person signed in.
    Logout(login::Logout),
    /// Says who you are at the server.
    Whoami(login::Whoami),
    /// Finds users, and ends their sessions.
    Users(terminate::Users),
    /// Finds groups, and ends their members' sessions.
    Groups(terminate::Groups),
    /// Shows and follows terminations of a service.
    Terminations(terminations::Terminations),
    /// Follows and proves the event log.
    Events(events::Events),
    /// Prints the completions of a shell.
    Completions(generate::Completions),
    /// Prints the manual page, or writes one for every command.
    Man(generate::Manual),
}

/// Where the service's configuration is.
#[derive(Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, global = true, env = "LIGHTSOUT_CONFIG", default_value = "lightsout.toml")]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("nothing ran before");
    let result = match Cli::parse().command {
        Command::Demo(command) => command.run().await,
        Command::Serve(command) => command.run().await,
        Command::Admin(command) => command.run().await,
        Command::Systems(command) => command.run().await,
        Command::Login(command) => interrupt::or(command.run()).await,
        Command::Logout(command) => interrupt::or(command.run()).await,
        Command::Whoami(command) => interrupt::or(command.run()).await,
        Command::Events(command) => interrupt::or(command.run()).await,
        Command::Users(command) => interrupt::or(command.run()).await,
        Command::Groups(command) => interrupt::or(command.run()).await,
        Command::Terminations(command) => interrupt::or(command.run()).await,
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            let words = format!("error: {}{}", exit::words_of(&error), exit::hint_of(&error));
            eprintln!("{}", output::one_line(&words));
            exit::code_of(&error)
        }
    }
}
