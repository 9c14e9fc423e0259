//! One pass: each registered session is probed, told to the receiver, and probed again where that is
//! needed to know; some at the same time, none faster than the receiver bears.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::StreamExt;
use tokio::time::Instant;

use super::keys::SigningKey;
use super::receiver::{Delivery, Life};
use super::{
    NEVER_ALIVE, NONE_REGISTERED, NOTED_AT_ONCE, OidcBackchannel, UNKNOWN_BEGIN, UNREPORTED_MAX,
    could_not_tell, token,
};
use crate::connector::{ConnectorError, Reply, Session, Target};
use crate::store::OidcSessionRow;

/// A registered session that is over, and whose it is.
pub(super) struct Item {
    /// The number of the target.
    pub(super) target: usize,
    pub(super) row: OidcSessionRow,
    /// Whether a token was taken since the request.
    pub(super) delivered: bool,
    /// The digest by which the session is known again.
    pub(super) key: String,
}

impl Item {
    pub(super) fn session(&self) -> Session {
        Session { key: self.key.clone(), told: self.began_at().into() }
    }

    /// Whether it is to be ended; a look finds all of unknown begin.
    pub(super) fn is_over(&self, target: &Target, ending: bool) -> bool {
        let began_at = self.began_at();
        target.is_over(&self.key, began_at) || (began_at.is_none() && !ending)
    }

    fn began_at(&self) -> Option<i64> {
        Some(self.row.began_at).filter(|at| *at != UNKNOWN_BEGIN)
    }
}

/// What became of one session in a pass.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It is over for all that is known: a token was taken, now or earlier. `counts`: it lived, or may
    /// have, until this pass.
    Over { counts: bool },
    /// The token was not taken.
    NotTaken(String),
    /// A token was taken earlier, and the probe cannot tell.
    Unclear,
    /// There was no time, or the receiver had stopped answering.
    NotSent,
}

/// What the requests of one pass share.
struct Course {
    deadline: Instant,
    /// Whether anything was answered.
    answered: AtomicBool,
    /// Requests without an answer since the last one that had one.
    lost_in_a_row: AtomicU32,
    lost_max: u32,
}

impl Course {
    fn is_dead(&self) -> bool {
        self.lost_in_a_row.load(Ordering::Relaxed) >= self.lost_max
    }

    fn note(&self, answered: bool) {
        if answered {
            self.answered.store(true, Ordering::Relaxed);
            self.lost_in_a_row.store(0, Ordering::Relaxed);
        } else {
            self.lost_in_a_row.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl OidcBackchannel {
    fn course(&self) -> Course {
        Course {
            // What has its turn by then has its answer, or none, before the caller stops waiting.
            deadline: Instant::now() + self.timeout * 7 / 10,
            answered: AtomicBool::new(false),
            lost_in_a_row: AtomicU32::new(0),
            lost_max: self.config.parallel.max(4),
        }
    }

    /// Delivers what was not delivered since the request, and what lives in spite of it.
    ///
    /// Fails if something was sent and nothing at all was answered: the receiver is down.
    pub(super) async fn deliver(
        &self,
        key: &SigningKey,
        items: &[Item],
    ) -> Result<Vec<Fate>, ConnectorError> {
        let course = self.course();
        let mut fates = vec![Fate::NotSent; items.len()];
        let one = |n: usize| {
            let (item, course) = (&items[n], &course);
            async move { (n, self.deliver_one(key, course, item).await) }
        };
        let parallel = usize::try_from(self.config.parallel).unwrap_or(1);
        let work: Vec<_> = (0..items.len()).map(one).collect();
        let mut work = futures_util::stream::iter(work).buffer_unordered(parallel);
        let (mut taken, mut notes, mut lost) = (Vec::new(), Vec::new(), None);
        while let Some((n, outcome)) = work.next().await {
            if let Some(at) = outcome.taken_at {
                taken.push((items[n].row.user_id.clone(), items[n].row.sid.clone(), at));
            }
            if taken.len() >= NOTED_AT_ONCE {
                notes.push(self.note_deliveries(std::mem::take(&mut taken)));
            }
            lost = lost.or(outcome.lost);
            fates[n] = outcome.fate;
        }
        if !taken.is_empty() {
            notes.push(self.note_deliveries(taken));
        }
        for note in notes {
            note.await.expect("the transaction does not panic");
        }
        match lost {
            Some(why) if !course.answered.load(Ordering::Relaxed) => Err(ConnectorError::Unreachable(why)),
            _ => Ok(fates),
        }
    }

    async fn deliver_one(&self, key: &SigningKey, course: &Course, item: &Item) -> Outcome {
        let before = match self.probe_in_turn(course, item).await {
            Ok(life) => life,
            Err(NoTurn) => return Fate::NotSent.into(),
        };
        if item.delivered {
            match before {
                None => return Fate::Over { counts: false }.into(),
                Some(Life::Gone) => {
                    // It was ended in an earlier pass that could not report it.
                    let counts = self.unreported().remove(&item.key);
                    return Fate::Over { counts }.into();
                }
                Some(Life::Unclear) => return Fate::Unclear.into(),
                Some(Life::Alive) => {}
            }
        }
        if course.is_dead() || self.receiver.pace.turn(course.deadline).await.is_err() {
            return Fate::NotSent.into();
        }
        let at = self.clock.now_ms();
        let claims = token::Claims {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            sub: &item.row.sub,
            sid: &item.row.sid,
            jti: &self.random.secret(),
            now_ms: at,
        };
        let token = token::sign(key, self.config.algorithm, claims);
        let delivery = self.receiver.deliver(&self.config, &token).await;
        course.note(!matches!(delivery, Delivery::Lost(_)));
        let counts = before != Some(Life::Gone);
        let over = Fate::Over { counts };
        // What is in doubt is told again by a retry, and stays in doubt.
        let taken_at = (counts || self.showed_life.load(Ordering::Relaxed)).then_some(at);
        match delivery {
            Delivery::Taken => Outcome { fate: over, taken_at, lost: None },
            Delivery::Lost(why) => {
                Outcome { fate: Fate::NotTaken(why.clone()), taken_at: None, lost: Some(why) }
            }
            Delivery::Refused(why) => match self.probe_in_turn(course, item).await {
                // Whatever the answer says: it is gone.
                Ok(Some(Life::Gone)) => Outcome { fate: over, taken_at, lost: None },
                _ => Fate::NotTaken(why).into(),
            },
        }
    }

    /// Probes one session when it is its turn; none without a probe.
    async fn probe_in_turn(&self, course: &Course, item: &Item) -> Result<Option<Life>, NoTurn> {
        if self.config.probe_url.is_none() {
            return Ok(None);
        }
        if course.is_dead() || self.receiver.pace.turn(course.deadline).await.is_err() {
            return Err(NoTurn);
        }
        let (life, _) = self.receiver.probe(&self.config, &item.row.sub, &item.row.sid).await;
        if life == Life::Alive {
            self.showed_life.store(true, Ordering::Relaxed);
        }
        if life != Life::Unclear {
            course.note(true);
        }
        Ok(Some(life))
    }

    /// Probes every session. One that had no turn is unclear.
    pub(super) async fn probe_all(&self, items: &[Item]) -> Vec<Life> {
        let course = self.course();
        let work: Vec<_> = items.iter().map(|item| self.probe_in_turn(&course, item)).collect();
        let parallel = usize::try_from(self.config.parallel).unwrap_or(1);
        let lives: Vec<_> = futures_util::stream::iter(work).buffered(parallel).collect().await;
        lives.into_iter().map(|life| life.ok().flatten().unwrap_or(Life::Unclear)).collect()
    }

    /// The reply for one target of a pass. `unasked`: why the provider's store showed nothing.
    pub(super) fn ended(
        &self,
        target: usize,
        items: &[Item],
        fates: &[Fate],
        unasked: Option<&str>,
    ) -> Reply {
        let mine: Vec<(&Item, &Fate)> =
            items.iter().zip(fates).filter(|(item, _)| item.target == target).collect();
        let unasked = unasked.map(|why| Reply::Failed(why.to_owned()));
        if mine.is_empty() {
            return unasked.unwrap_or_else(|| Reply::Unknown(NONE_REGISTERED.to_owned()));
        }
        let ended = mine.iter().filter(|(_, fate)| matches!(fate, Fate::Over { counts: true }));
        if let Some(failed) = failure(&mine).or(unasked) {
            let mut unreported = self.unreported();
            if unreported.len() < UNREPORTED_MAX && self.config.probe_url.is_some() {
                unreported.extend(ended.map(|(item, _)| item.key.clone()));
            }
            return failed;
        }
        if self.config.probe_url.is_none() {
            return Reply::Delivered;
        }
        // A probe at a wrong address says "gone" of everybody: what it never saw alive it cannot prove.
        let all_gone_before = mine.iter().all(|(_, fate)| matches!(fate, Fate::Over { counts: false }));
        let first_told = mine.iter().any(|(item, _)| !item.delivered);
        if all_gone_before && first_told && !self.showed_life.load(Ordering::Relaxed) {
            return Reply::Unknown(NEVER_ALIVE.to_owned());
        }
        Reply::Sessions(ended.map(|(item, _)| item.session()).collect())
    }
}

struct NoTurn;

struct Outcome {
    fate: Fate,
    /// When the token was sent that was taken.
    taken_at: Option<i64>,
    /// Why no answer came.
    lost: Option<String>,
}

impl From<Fate> for Outcome {
    fn from(fate: Fate) -> Self {
        Self { fate, taken_at: None, lost: None }
    }
}

fn failure(mine: &[(&Item, &Fate)]) -> Option<Reply> {
    let all = mine.len();
    let count = |wanted: fn(&Fate) -> bool| mine.iter().filter(|(_, fate)| wanted(fate)).count();
    let not_taken = count(|fate| matches!(fate, Fate::NotTaken(_)));
    let why = mine.iter().find_map(|(_, fate)| match fate {
        Fate::NotTaken(why) => Some(why.as_str()),
        _ => None,
    });
    if let Some(why) = why {
        return Some(Reply::Failed(format!("{not_taken} of {all} logout tokens were not taken: {why}")));
    }
    let not_sent = count(|fate| matches!(fate, Fate::NotSent));
    if not_sent > 0 {
        let why = "the receiver is too slow, asks for rest, or has stopped answering";
        return Some(Reply::Failed(format!("{not_sent} of {all} logout tokens were not sent yet: {why}")));
    }
    match count(|fate| matches!(fate, Fate::Unclear)) {
        0 => None,
        unclear => Some(could_not_tell(unclear, all)),
    }
}
