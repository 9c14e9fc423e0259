//! The verdict over every mix of outcomes.

use jiff::Timestamp;
use lightsout_api::Reference;

use super::*;
use crate::clock::timestamp;

const NOW: i64 = 1_767_323_045_000;

fn system(name: &str) -> SystemProgress {
    SystemProgress {
        system: name.to_owned(),
        waiting: 0,
        unreachable: 0,
        ended: 0,
        nothing_found: 0,
        ends_by: 0,
        delivered_not_verified: 0,
        unknown_sessions: 0,
        no_subject: 0,
        gave_up: 0,
        sessions_ended: 0,
        resurrected: 0,
        ended_again: 0,
    }
}

fn termination(state: TerminationState, systems: Vec<SystemProgress>) -> Termination {
    let at: Timestamp = timestamp(NOW);
    Termination {
        id: "t_1".to_owned().into(),
        state,
        asked_by: Reference::default(),
        as_user: None,
        reason: None,
        cutoff: at,
        created_at: at,
        finished_at: (state != TerminationState::Running).then_some(at),
        people: systems.first().map_or(0, all),
        systems,
        skipped: Vec::new(),
        chain_head: None,
    }
}

fn open(system: &str, held: i64, next_at: Option<i64>) -> OpenJobs {
    OpenJobs { system: system.to_owned(), jobs: 1, held, next_at, give_up_at: NOW + 86_400_000 }
}

fn said_of(termination: &Termination, open: &[OpenJobs], last_ends: &[(String, i64)]) -> (String, String) {
    let verdict = verdict(&Facts { termination, open, last_ends, now: NOW });
    let pieces = verdict.sentence.iter().map(|piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::At(at) => timestamp(*at).to_string(),
    });
    (verdict.state.to_owned(), pieces.collect())
}

#[track_caller]
fn says(termination: &Termination, state: &str, sentence: &str) {
    assert_eq!(said_of(termination, &[], &[]), (state.to_owned(), sentence.to_owned()));
}

#[test]
fn done_says_what_ended_and_that_it_was_looked_for() {
    let shop = SystemProgress { ended: 2, nothing_found: 1, sessions_ended: 1_240, ..system("shop") };
    says(
        &termination(TerminationState::Done, vec![shop.clone()]),
        "done",
        "Done and proven: 1,240 sessions of 3 people ended in shop, and a later look found none of them.",
    );
    let back = SystemProgress { ended: 3, sessions_ended: 3, resurrected: 1, ..system("web") };
    says(
        &termination(TerminationState::Done, vec![shop, back]),
        "done",
        "Done and proven: 1,243 sessions of 3 people ended in 2 systems, and a later look found none of them; sessions came back 1 time before that, and were ended again.",
    );
}

#[test]
fn done_with_nothing_to_end_says_so() {
    let shop = SystemProgress { nothing_found: 1, ..system("shop") };
    says(
        &termination(TerminationState::Done, vec![shop]),
        "done",
        "Done and proven: 1 person had no session that is over by this in shop.",
    );
    says(
        &termination(TerminationState::Done, vec![system("shop")]),
        "done",
        "Done: it names nobody, so there was nothing to end.",
    );
}

#[test]
fn working_says_what_is_proven_and_what_is_not() {
    let shop = SystemProgress { waiting: 12, sessions_ended: 9, ..system("shop") };
    says(
        &termination(TerminationState::Running, vec![shop]),
        "working",
        "Working: nothing is proven yet for 12 people; 12 are not tried or not verified yet.",
    );
    let shop = SystemProgress { waiting: 1, ended: 3, nothing_found: 1, resurrected: 2, ..system("shop") };
    let web = SystemProgress { ended: 5, ..system("web") };
    says(
        &termination(TerminationState::Running, vec![shop, web]),
        "working",
        "Working: proven for 9 of 10 checks (one person in one system each); 1 is not tried or not verified yet; sessions came back 2 times under their old keys.",
    );
}

#[test]
fn unreachable_says_when_it_is_tried_next() {
    let shop = SystemProgress { unreachable: 2, ended: 1, ..system("shop") };
    let termination = termination(TerminationState::Running, vec![shop]);
    let cases = [
        (
            vec![open("shop", 0, Some(NOW + 5_000))],
            "which does not answer and is tried again, at the earliest, at 2026-01-02T03:04:10Z.",
        ),
        (vec![open("shop", 1, Some(NOW + 5_000))], "which does not answer and is being tried now."),
        (vec![open("shop", 0, Some(NOW - 1))], "which does not answer and is due to be tried again now."),
        (vec![open("other", 1, None)], "which does not answer."),
    ];
    for (open, end) in cases {
        let (state, sentence) = said_of(&termination, &open, &[]);
        assert_eq!(state, "working");
        assert_eq!(sentence, format!("Working: proven for 1 of 3 people; 2 wait for shop, {end}"));
    }
}

#[test]
fn what_cannot_be_proven_is_told_apart() {
    let shop = SystemProgress { ended: 1, gave_up: 1, no_subject: 1, ..system("shop") };
    let web = SystemProgress { ends_by: 3, ..system("web") };
    let api = SystemProgress { delivered_not_verified: 2, unknown_sessions: 1, ..system("api") };
    let termination = termination(TerminationState::DoneWithFailures, vec![shop, web, api]);
    let ahead = [("web".to_owned(), NOW + 60_000)];
    let sentence = |when: &str| {
        format!(
            "Finished, but not everything is proven: proven for 1 of 9 checks (one person in one system each); 1 given up in shop, where they may still be signed in; 3 in web cannot be signed out early, and their sessions die by themselves{when}; 2 delivered to api, which cannot be asked whether it worked; 1 in api, which cannot say which sessions are theirs; 1 without a name in shop."
        )
    };
    let state = "done_with_failures".to_owned();
    assert_eq!(
        said_of(&termination, &[], &ahead),
        (state.clone(), sentence(" at the latest at 2026-01-02T03:05:05Z"))
    );
    let past = [("web".to_owned(), NOW - 60_000)];
    assert_eq!(said_of(&termination, &[], &past), (state, sentence(", the last by 2026-01-02T03:03:05Z")));
}

#[test]
fn many_systems_are_named_by_the_first_three() {
    let systems = ["a", "b", "c", "d", "e"].map(|name| SystemProgress { gave_up: 1, ..system(name) });
    says(
        &termination(TerminationState::DoneWithFailures, systems.to_vec()),
        "done_with_failures",
        "Finished, but not everything is proven: nothing is proven yet for 5 checks (one person in one system each); 5 given up in a, b, c and 2 more, where they may still be signed in.",
    );
}

/// Every mix of outcomes, each there or not: what is not verified is never said to have ended.
#[test]
fn only_what_is_verified_is_said_to_have_ended() {
    for mix in 0_u64..512 {
        let n = |bit: u32| mix >> bit & 1;
        let mut shop = system("shop");
        (shop.waiting, shop.unreachable, shop.ended, shop.nothing_found) = (n(0), n(1), n(2), n(3));
        (shop.ends_by, shop.delivered_not_verified, shop.unknown_sessions) = (n(4), n(5), n(6));
        (shop.no_subject, shop.gave_up) = (n(7), n(8));
        (shop.sessions_ended, shop.resurrected) = (mix, mix % 3);
        let state = match () {
            () if shop.waiting + shop.unreachable > 0 => TerminationState::Running,
            () if mix & !0b1100 == 0 => TerminationState::Done,
            () => TerminationState::DoneWithFailures,
        };
        let (word, sentence) = said_of(&termination(state, vec![shop.clone()]), &[], &[]);
        let is_done = state == TerminationState::Done;
        assert_eq!(word == "done", is_done, "{sentence}");
        assert!(is_done || !sentence.contains("ended"), "{mix:b}: {sentence}");
        assert!(is_done || !sentence.starts_with("Done"), "{mix:b}: {sentence}");
        for (count, words) in [
            (shop.waiting, "not verified yet"),
            (shop.unreachable, "does not answer"),
            (shop.gave_up, "given up in shop"),
            (shop.ends_by, "die by themselves"),
            (shop.delivered_not_verified, "delivered to shop"),
            (shop.unknown_sessions, "cannot say which"),
            (shop.no_subject, "without a name"),
        ] {
            assert_eq!(count > 0, sentence.contains(words), "{mix:b}: {sentence}");
        }
        assert!(sentence.ends_with('.') && !sentence.contains(".."), "{sentence}");
    }
}
