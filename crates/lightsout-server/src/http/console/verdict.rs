//! What is proven of a termination, and what is not, in one sentence. A pure function over the facts.
//!
//! A session is called ended only where a look after the quiet time found nothing left of it.

use lightsout_api::{SystemProgress, Termination, TerminationState};

use crate::http::page::counted;
use crate::store::OpenJobs;

/// A piece of the sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// An instant, in milliseconds since 1970.
    At(i64),
}

/// The verdict: a word for programs, and the sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `working`, `done` or `done_with_failures`.
    pub(super) state: &'static str,
    pub(super) sentence: Vec<Piece>,
}

/// What the verdict is said of.
pub(super) struct Facts<'a> {
    pub(super) termination: &'a Termination,
    /// The unfinished jobs by system.
    pub(super) open: &'a [OpenJobs],
    /// By system, when its last stateless session is dead.
    pub(super) last_ends: &'a [(String, i64)],
    pub(super) now: i64,
}

pub(super) fn verdict(facts: &Facts<'_>) -> Verdict {
    let termination = facts.termination;
    let mut out = Sentence::default();
    let state = match termination.state {
        TerminationState::Done => {
            done(&mut out, termination);
            "done"
        }
        TerminationState::Running => {
            out.say("Working: ");
            proven_so_far(&mut out, termination);
            under_way(&mut out, facts);
            "working"
        }
        TerminationState::DoneWithFailures => {
            out.say("Finished, but not everything is proven: ");
            proven_so_far(&mut out, termination);
            "done_with_failures"
        }
    };
    if state != "done" {
        unproven(&mut out, facts);
        let back = sum(termination, |s| s.resurrected);
        if back > 0 {
            out.then(&format!("sessions came back {} under their old keys", counted(back, "time", "times")));
        }
    }
    out.say(".");
    Verdict { state, sentence: out.0 }
}

/// Outcomes that are verified: what was ended is gone, or nothing was there.
pub(super) fn proven(system: &SystemProgress) -> u64 {
    system.ended + system.nothing_found
}

/// Outcomes of a system in all.
pub(super) fn all(s: &SystemProgress) -> u64 {
    let unproven = s.ends_by + s.delivered_not_verified + s.unknown_sessions + s.no_subject + s.gave_up;
    proven(s) + s.waiting + s.unreachable + unproven
}

fn sum(termination: &Termination, of: impl Fn(&SystemProgress) -> u64) -> u64 {
    termination.systems.iter().map(of).sum()
}

/// Said only where every outcome is verified.
fn done(out: &mut Sentence, termination: &Termination) {
    let people = counted(termination.people, "person", "people");
    let systems = match termination.systems.as_slice() {
        [one] => one.system.clone(),
        many => counted(many.len() as u64, "system", "systems"),
    };
    let ended = sum(termination, |s| s.sessions_ended);
    if termination.people == 0 {
        out.say("Done: it names nobody, so there was nothing to end");
    } else if ended == 0 && sum(termination, |s| s.resurrected) == 0 {
        out.say(&format!("Done and proven: {people} had no session that is over by this in {systems}"));
    } else {
        let sessions = counted(ended, "session", "sessions");
        out.say(&format!(
            "Done and proven: {sessions} of {people} ended in {systems}, and a later look found none of them"
        ));
        let back = sum(termination, |s| s.resurrected);
        if back > 0 {
            let times = counted(back, "time", "times");
            out.then(&format!("sessions came back {times} before that, and were ended again"));
        }
    }
}

fn proven_so_far(out: &mut Sentence, termination: &Termination) {
    let (proven, all) = (sum(termination, proven), sum(termination, all));
    let (one, many) = match termination.systems.len() {
        0 | 1 => ("person", "people"),
        _ => ("check (one person in one system)", "checks (one person in one system each)"),
    };
    match proven {
        0 => out.say(&format!("nothing is proven yet for {}", counted(all, one, many))),
        _ => out.say(&format!("proven for {} of {}", plain(proven), counted(all, one, many))),
    }
}

/// What is still tried.
fn under_way(out: &mut Sentence, facts: &Facts<'_>) {
    let waiting = sum(facts.termination, |s| s.waiting);
    if waiting > 0 {
        let verb = if waiting == 1 { "is" } else { "are" };
        out.then(&format!("{} {verb} not tried or not verified yet", plain(waiting)));
    }
    for system in facts.termination.systems.iter().filter(|s| s.unreachable > 0) {
        let wait = if system.unreachable == 1 { "waits" } else { "wait" };
        let name = &system.system;
        out.then(&format!("{} {wait} for {name}, which does not answer", plain(system.unreachable)));
        match facts.open.iter().find(|open| open.system == *name) {
            Some(OpenJobs { held: 1.., .. }) => out.say(" and is being tried now"),
            Some(OpenJobs { next_at: Some(at), .. }) if *at > facts.now => {
                out.say(" and is tried again, at the earliest, at ");
                out.at(*at);
            }
            Some(_) => out.say(" and is due to be tried again now"),
            None => {}
        }
    }
}

/// What is final and not proven.
fn unproven(out: &mut Sentence, facts: &Facts<'_>) {
    let systems = &facts.termination.systems;
    let gave_up = clause(systems, |s| s.gave_up);
    if let Some((n, names)) = gave_up {
        out.then(&format!("{n} given up in {names}, where they may still be signed in"));
    }
    for system in systems.iter().filter(|s| s.ends_by > 0) {
        let n = plain(system.ends_by);
        let name = &system.system;
        out.then(&format!("{n} in {name} cannot be signed out early, and their sessions die by themselves"));
        if let Some((_, at)) = facts.last_ends.iter().find(|(found, _)| found == name) {
            out.say(if *at > facts.now { " at the latest at " } else { ", the last by " });
            out.at(*at);
        }
    }
    if let Some((n, names)) = clause(systems, |s| s.delivered_not_verified) {
        out.then(&format!("{n} delivered to {names}, which cannot be asked whether it worked"));
    }
    if let Some((n, names)) = clause(systems, |s| s.unknown_sessions) {
        out.then(&format!("{n} in {names}, which cannot say which sessions are theirs"));
    }
    if let Some((n, names)) = clause(systems, |s| s.no_subject) {
        out.then(&format!("{n} without a name in {names}"));
    }
}

/// How many there are in all, and in which systems.
fn clause(systems: &[SystemProgress], of: impl Fn(&SystemProgress) -> u64) -> Option<(String, String)> {
    let counts: Vec<(&str, u64)> =
        systems.iter().map(|s| (s.system.as_str(), of(s))).filter(|(_, n)| *n > 0).collect();
    let names: Vec<&str> = counts.iter().map(|(name, _)| *name).take(3).collect();
    let names = match counts.len() {
        0 => return None,
        1..=3 => names.join(", "),
        n => format!("{} and {} more", names.join(", "), n - 3),
    };
    Some((plain(counts.iter().map(|(_, n)| n).sum()), names))
}

fn plain(n: u64) -> String {
    counted(n, "", "").trim_end().to_owned()
}

#[derive(Default)]
struct Sentence(Vec<Piece>);

impl Sentence {
    fn say(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Piece::Text(before)) => before.push_str(text),
            _ => self.0.push(Piece::Text(text.to_owned())),
        }
    }

    /// One clause more.
    fn then(&mut self, text: &str) {
        self.say("; ");
        self.say(text);
    }

    fn at(&mut self, ms: i64) {
        self.0.push(Piece::At(ms));
    }
}

#[cfg(test)]
mod tests;
