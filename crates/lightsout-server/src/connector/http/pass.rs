//! A pass over the people of a job: who they are, what lives, what is ended, what is replied.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};

use super::Http;
use super::caller::{Problem, Why};
use super::look::{self, Listed, Seen, text_at};
use super::template::Scope;
use crate::connector::matching::Matcher;
use crate::connector::{Answer, ConnectorError, Reply, SURELY_OVER, Session, Target, Told, key_digest};

/// How long the system's id of a person is remembered.
const KNOWN_FOR: Duration = Duration::from_mins(10);
/// The most people whose ids, or whose ordered ends, are remembered.
const KNOWN_MAX: usize = 100_000;
/// The most calls that one bulk call becomes where some of its people make it fail.
const SPLITS_MAX: usize = 64;
/// The most calls that break off in a pass in which others are answered: somebody's always do.
const BROKEN_MAX: usize = 20;

type Of<T> = Result<T, Problem>;

/// A person whom the system knows.
struct Person {
    target: usize,
    id: String,
    /// What stands there, where the recipe can see that.
    seen: Option<Of<Seen>>,
}

/// What is to be called for somebody.
struct Order {
    person: usize,
    /// The sessions to name, where the call names one.
    sessions: Vec<String>,
}

struct Pass<'a> {
    http: &'a Http,
    targets: &'a [Target],
    now: i64,
    /// When no more is looked at, and when nothing more is called. What a call under way still takes
    /// is within the pass's time.
    looks_until: Instant,
    until: Instant,
    /// Calls that nothing whole was answered to, and whether any other was answered.
    broken: AtomicUsize,
    answered: AtomicBool,
    /// Why nothing more is tried.
    down: OnceLock<Problem>,
}

/// Ends what is over, and replies.
pub(super) async fn end(http: &Http, targets: &[Target]) -> Result<Answer, ConnectorError> {
    // Looking leaves time to end something in the same pass, else a slow system would be looked at for ever.
    let pass = Pass::new(http, targets, if http.recipe.end_is_bulk() { 65 } else { 40 });
    let (mut results, people) = pass.look().await;
    let mut sessions = vec![Reply::Sessions(Vec::new()); people.len()];
    let mut orders = Vec::new();
    for (n, person) in people.iter().enumerate() {
        match pass.order(n, person, &mut sessions[n]) {
            Ok(order) => orders.extend(order),
            Err(problem) => results[person.target] = Some(Err(problem)),
        }
    }
    let mut failed = pass.carry_out(&people, &orders).await;
    let ordered: HashSet<usize> = orders.iter().map(|order| order.person).collect();
    for (n, person) in people.iter().enumerate() {
        let result = &mut results[person.target];
        if result.is_some() {
            continue;
        }
        *result = Some(match failed.remove(&n) {
            Some(problem) => Err(problem),
            None => pass.ended(person, ordered.contains(&n), &sessions[n]),
        });
    }
    replies(results)
}

/// Looks only.
pub(super) async fn find(http: &Http, targets: &[Target]) -> Result<Answer, ConnectorError> {
    let pass = Pass::new(http, targets, 70);
    let (mut results, people) = pass.look().await;
    for person in people {
        let mut found = Reply::Sessions(Vec::new());
        if let Some(Ok(Seen::Sessions(listed))) = &person.seen {
            (_, found) = pass.over(&person, listed, Matcher::finding);
        }
        let result = pass.found(&person, found);
        results[person.target].get_or_insert(result);
    }
    replies(results)
}

/// Checks what can be checked without naming anybody.
pub(super) async fn check(http: &Http) -> Result<Answer, ConnectorError> {
    let why = |problem: Problem| match problem {
        Problem::System(why) | Problem::Denied(why) | Problem::Broken(why) => ConnectorError::from(why),
        other => ConnectorError::Unexpected(other.text().to_owned()),
    };
    let note = if let Some(paced) = &http.check {
        let scope = Scope { now: http.caller.clock.now_ms(), ..Scope::default() };
        let answer = http.caller.call(paced, &scope).await.map_err(why)?;
        http.caller.worked(&paced.call, &answer).map_err(why)?;
        let (method, path) = (&paced.call.method, paced.call.path.shown());
        format!("{}: the credentials are accepted; {method} {path} answered {}", http.name, answer.status)
    } else if let Some((from, tokens)) = &http.caller.tokens {
        tokens.token(&http.caller, from).await.map_err(why)?;
        format!("{}: the credentials are accepted; its token endpoint gave a token", http.name)
    } else {
        format!("{}: nothing can be checked without naming a person", http.name)
    };
    Ok(Answer { replies: Vec::new(), notes: vec![note] })
}

impl<'a> Pass<'a> {
    /// `looks` is the share of the time, in hundredths, that looking may take.
    fn new(http: &'a Http, targets: &'a [Target], looks: u32) -> Self {
        let (now, begin) = (http.caller.clock.now_ms(), Instant::now());
        let (looks_until, until) = (begin + http.timeout * looks / 100, begin + http.timeout * 7 / 10);
        let (broken, answered) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { http, targets, now, looks_until, until, broken, answered, down: OnceLock::new() }
    }

    fn scope(&self, n: usize) -> Scope<'_> {
        let Target { subject, asked_at, .. } = &self.targets[n];
        Scope { subject, asked_at: *asked_at, ..self.looking() }
    }

    fn looking(&self) -> Scope<'_> {
        Scope { now: self.now, until: Some(self.looks_until), ..Scope::default() }
    }

    /// Awaits a call, unless one before it showed that the system as a whole fails.
    async fn attempt<T>(&self, call: impl Future<Output = Of<T>>) -> Of<T> {
        if let Some(problem) = self.down.get() {
            return Err(problem.clone());
        }
        let result = call.await;
        let is_down = match &result {
            Err(Problem::System(_)) => true,
            Err(Problem::Late) => false,
            Err(Problem::Broken(_)) => {
                let broken = self.broken.fetch_add(1, Ordering::Relaxed) + 1;
                let most =
                    if self.answered.load(Ordering::Relaxed) { BROKEN_MAX } else { self.http.parallel };
                broken >= most
            }
            _ => {
                self.answered.store(true, Ordering::Relaxed);
                false
            }
        };
        if let Err(problem) = &result
            && is_down
        {
            let _ = self.down.set(problem.clone());
        }
        result
    }

    /// Some at once, in order.
    async fn all<T>(&self, calls: Vec<BoxFuture<'_, T>>) -> Vec<T> {
        stream::iter(calls).buffered(self.http.parallel).collect().await
    }

    /// Who is known there, and what stands there. What is final already is among the results.
    async fn look(&self) -> (Vec<Option<Of<Reply>>>, Vec<Person>) {
        let calls = (0..self.targets.len()).map(|n| self.person(n).boxed()).collect();
        let mut results = Vec::with_capacity(self.targets.len());
        let mut people = Vec::new();
        for found in self.all(calls).await {
            results.push(match found {
                Ok(Some(person)) => {
                    people.push(person);
                    None
                }
                Ok(None) => Some(Ok(Reply::NoSubject)),
                Err(problem) => Some(Err(problem)),
            });
        }
        if self.http.recipe.verify.as_ref().is_some_and(|verify| verify.owner.is_some()) && !people.is_empty()
        {
            self.look_at_all(&mut people).await;
        }
        for person in &people {
            self.forget_what_is_gone(person);
        }
        (results, people)
    }

    async fn person(&self, n: usize) -> Of<Option<Person>> {
        let Some(id) = self.attempt(self.id(n)).await? else { return Ok(None) };
        let seen = match (&self.http.recipe.verify, &self.http.verify) {
            (Some(verify), Some(paced)) if verify.owner.is_none() => {
                let scope = Scope { id: &id, ..self.scope(n) };
                Some(self.attempt(look::seen(&self.http.caller, paced, verify, &scope)).await)
            }
            _ => None,
        };
        Ok(Some(Person { target: n, id, seen }))
    }

    /// One list for everybody.
    async fn look_at_all(&self, people: &mut [Person]) {
        let (Some(verify), Some(paced)) = (&self.http.recipe.verify, &self.http.verify) else { return };
        let scope = self.looking();
        let seen = self.attempt(look::seen(&self.http.caller, paced, verify, &scope)).await;
        let mut by_owner: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
        if let Ok(Seen::Sessions(listed)) = &seen {
            for session in listed {
                by_owner.entry(session.owner.clone().unwrap_or_default()).or_default().push(session.clone());
            }
        }
        for person in people {
            person.seen = Some(match &seen {
                Ok(_) => Ok(Seen::Sessions(by_owner.get(&person.id).cloned().unwrap_or_default())),
                Err(problem) => Err(problem.clone()),
            });
        }
    }

    async fn id(&self, n: usize) -> Of<Option<String>> {
        let subject = &self.targets[n].subject;
        let Some((lookup, paced)) = &self.http.lookup else { return Ok(Some(subject.clone())) };
        let now = Instant::now();
        let name = (subject.clone(), self.targets[n].asked_at);
        let known = self.http.known.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some((id, _)) = known.filter(|(_, until)| *until > now) {
            return Ok(Some(id));
        }
        let id = look::id_of(&self.http.caller, paced, lookup, &Scope { subject, ..self.looking() }).await?;
        if let Some(id) = &id {
            let mut known = self.http.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(name, (id.clone(), now + KNOWN_FOR));
        }
        Ok(id)
    }

    /// What is to be called for a person; nothing, where only what began later is listed.
    /// `sessions` becomes those that are over.
    fn order(&self, n: usize, person: &Person, sessions: &mut Reply) -> Of<Option<Order>> {
        let everything = Some(Order { person: n, sessions: Vec::new() });
        match &person.seen {
            Some(Err(problem @ (Problem::System(_) | Problem::Late))) => Err(problem.clone()),
            Some(Err(problem)) if self.http.per_session => Err(problem.clone()),
            // What cannot be seen is ended nevertheless; the reply says that it was not seen.
            None | Some(Err(_)) => Ok(everything),
            Some(Ok(Seen::ValidFrom(from))) if self.holds(person, *from) => Ok(None),
            Some(Ok(Seen::ValidFrom(_))) => Ok(everything),
            Some(Ok(Seen::Sessions(listed))) => {
                let over;
                (over, *sessions) = self.over(person, listed, Matcher::ending);
                // An empty list is no proof that nothing lives: the call reaches what is not listed.
                let wanted = !over.is_empty() || (listed.is_empty() && !self.http.per_session);
                Ok(wanted.then_some(Order { person: n, sessions: over }))
            }
        }
    }

    /// The keys of those that are over, and the reply that lists them. What was ordered before and is
    /// still shown is surely over: it is no new sign-in, whichever request it was ordered for.
    fn over<'s>(
        &'s self,
        person: &Person,
        listed: &[Listed],
        matcher: impl Fn(&'s [Target]) -> Matcher<'s>,
    ) -> (Vec<String>, Reply) {
        let ordered = self.http.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        let before = ordered.get(&person.id);
        let is_ordered = |key: &str| before.is_some_and(|b| b.contains_key(&key_digest(key.as_bytes())));
        // One for each person: two names may be of one, whose sessions are then those of both.
        let mut matcher = matcher(std::slice::from_ref(&self.targets[person.target]));
        let mut over = Vec::new();
        for session in listed {
            let told = session.told.clone();
            let began_at = told.began_at.or_else(|| is_ordered(&session.key).then_some(SURELY_OVER));
            let told = Told { began_at, ..told };
            if matcher.take_for(0, session.key.as_bytes(), told) {
                over.push(session.key.clone());
            }
        }
        (over, matcher.into_replies().remove(0))
    }

    /// Whether this is a look without a termination.
    fn asks_for_every_session(&self, person: &Person) -> bool {
        self.targets[person.target].asked_at == i64::MAX
    }

    /// Whether every living session began at or after the request.
    fn holds(&self, person: &Person, from: Option<i64>) -> bool {
        from.is_some_and(|from| from >= self.targets[person.target].asked_at)
    }

    /// Makes the calls. Returns who failed, by the number of the person.
    async fn carry_out(&self, people: &[Person], orders: &[Order]) -> BTreeMap<usize, Problem> {
        let results: Vec<Vec<(usize, Of<()>)>> = if let Some(batch) = self.http.recipe.end.batch {
            let calls = orders.chunks(batch).map(|some| self.end_some(people, some).boxed()).collect();
            self.all(calls).await
        } else {
            let one = |order: &'_ Order| (order.person, order.sessions.clone());
            let each = orders.iter().map(one).map(|(n, sessions)| {
                async move { vec![(n, self.end_one(&people[n], &sessions).await)] }.boxed()
            });
            self.all(each.collect()).await
        };
        let failed = |(n, result): (usize, Of<()>)| result.err().map(|problem| (n, problem));
        results.into_iter().flatten().filter_map(failed).collect()
    }

    async fn end_one(&self, person: &Person, sessions: &[String]) -> Of<()> {
        let scope = Scope { id: &person.id, until: Some(self.until), ..self.scope(person.target) };
        let paced = &self.http.end;
        let call = async |scope: Scope<'_>| {
            let answer = self.http.caller.call(paced, &scope).await?;
            self.http.caller.worked(&paced.call, &answer)
        };
        if !self.http.per_session {
            return self.attempt(call(scope)).await;
        }
        let mut result = Ok(());
        for session in sessions {
            result = result.and(self.attempt(call(Scope { session, ..scope })).await);
        }
        result
    }

    /// One call for many. Where the answer says that some of them make it fail, they are halved until
    /// it is known who.
    async fn end_some(&self, people: &[Person], orders: &[Order]) -> Vec<(usize, Of<()>)> {
        let mut waiting = vec![orders.iter().map(|order| order.person).collect::<Vec<usize>>()];
        let (mut results, mut calls) = (Vec::new(), 0);
        while let Some(some) = waiting.pop() {
            calls += 1;
            let result = self.attempt(self.end_at_once(people, &some)).await;
            if matches!(result, Ok(None)) && some.len() > 1 && calls < SPLITS_MAX {
                let (a, b) = some.split_at(some.len() / 2);
                waiting.extend([b.to_vec(), a.to_vec()]);
                continue;
            }
            let failed = match result {
                Ok(Some(failed)) => Ok(failed),
                Ok(None) => Err(Problem::Person("it refuses to end this person's sessions".to_owned())),
                Err(problem) => Err(problem),
            };
            results.extend(some.iter().map(|n| {
                let own = failed.as_ref().map_err(Clone::clone).and_then(|failed| {
                    let why = || Problem::Person("it reports a failure for this person".to_owned());
                    if failed.contains(&people[*n].id) { Err(why()) } else { Ok(()) }
                });
                (*n, own)
            }));
        }
        results
    }

    /// The ids that failed; none: somebody among them made the whole call fail.
    async fn end_at_once(&self, people: &[Person], some: &[usize]) -> Of<Option<HashSet<String>>> {
        let (http, paced, end) = (self.http, &self.http.end, &self.http.recipe.end);
        let mut seen = HashSet::new();
        let ids: Vec<&str> =
            some.iter().map(|n| people[*n].id.as_str()).filter(|id| seen.insert(*id)).collect();
        let scope = Scope { ids: &ids, until: Some(self.until), ..self.looking() };
        let answer = http.caller.call(paced, &scope).await?;
        let code = answer.code(http.recipe.error.as_ref());
        if code.is_some_and(|code| end.split_on.iter().any(|known| known == code)) {
            return Ok(None);
        }
        http.caller.worked(&paced.call, &answer)?;
        let listed = |failures: &super::recipe::Failures| {
            let list = answer.json.as_ref()?.pointer(&failures.list)?.as_array()?;
            Some(list.iter().filter_map(|item| text_at(item, &failures.id)).collect())
        };
        Ok(Some(end.failures.as_ref().and_then(listed).unwrap_or_default()))
    }

    /// What is replied for somebody for whom the calls worked, or none was needed.
    fn ended(&self, person: &Person, ordered: bool, sessions: &Reply) -> Of<Reply> {
        match &person.seen {
            None => Ok(Reply::Delivered),
            Some(Err(problem)) => {
                let why = format!("the order was given, but what lives cannot be seen: {}", problem.text());
                Err(match problem {
                    Problem::Denied(_) => Problem::Denied(Why::Unexpected(why)),
                    _ => Problem::Person(why),
                })
            }
            // The report says ends_by, and counts nothing.
            Some(Ok(Seen::ValidFrom(_))) if self.http.recipe.ends_by_s.is_some() => {
                Ok(Reply::Sessions(Vec::new()))
            }
            Some(Ok(Seen::ValidFrom(_))) if !ordered => Ok(Reply::Sessions(Vec::new())),
            Some(Ok(Seen::ValidFrom(_))) => Ok(self.first_time(person, vec![self.whole(person)])),
            Some(Ok(Seen::Sessions(_))) => match sessions {
                Reply::Sessions(sessions) if self.http.recipe.end.enqueued => {
                    Ok(self.first_time(person, sessions.clone()))
                }
                other => Ok(other.clone()),
            },
        }
    }

    fn found(&self, person: &Person, sessions: Reply) -> Of<Reply> {
        let ends_by_ms = self.http.recipe.ends_by_s.map(|s| i64::from(s) * 1_000);
        match &person.seen {
            None => Ok(Reply::Unknown("nothing can be asked of this system".to_owned())),
            Some(Err(problem)) => Err(problem.clone()),
            Some(Ok(Seen::ValidFrom(_))) if self.asks_for_every_session(person) => {
                Ok(Reply::Unknown("the system says since when sessions are valid, and lists none".to_owned()))
            }
            Some(Ok(Seen::ValidFrom(from))) if self.holds(person, *from) => Ok(match ends_by_ms {
                Some(ms) => Reply::EndsBy(from.unwrap_or(self.now).saturating_add(ms)),
                None => Reply::Sessions(Vec::new()),
            }),
            Some(Ok(Seen::ValidFrom(_))) => Ok(Reply::Sessions(vec![self.whole(person)])),
            Some(Ok(Seen::Sessions(_))) => Ok(match (ends_by_ms, sessions) {
                (Some(ms), Reply::Sessions(left)) if left.is_empty() => {
                    Reply::EndsBy(self.now.saturating_add(ms))
                }
                (_, sessions) => sessions,
            }),
        }
    }

    /// Stands for all sessions of somebody, where the system shows a time and not a list.
    fn whole(&self, person: &Person) -> Session {
        let asked_at = self.targets[person.target].asked_at;
        Session {
            key: key_digest(format!("{asked_at} {}", person.id).as_bytes()),
            told: Some(SURELY_OVER).into(),
        }
    }

    /// What was ordered before and is still shown did not come back: the system has yet to carry the
    /// order out. A newer request is told of it all the same, and so is one that did not hear of it.
    fn first_time(&self, person: &Person, mut sessions: Vec<Session>) -> Reply {
        let mut ordered = self.http.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        if ordered.len() >= KNOWN_MAX {
            ordered.clear();
        }
        let before = ordered.entry(person.id.clone()).or_default();
        let Target { asked_at, only, .. } = &self.targets[person.target];
        sessions.retain(|Session { key, .. }| {
            let told = before.get(key).copied();
            before.insert(key.clone(), told.map_or(*asked_at, |at| at.max(*asked_at)));
            told.is_none_or(|at| at < *asked_at) || only.as_ref().is_some_and(|only| !only.contains(key))
        });
        Reply::Sessions(sessions)
    }

    /// What is no longer shown has ended; if it is shown again, it came back.
    fn forget_what_is_gone(&self, person: &Person) {
        let mut ordered = self.http.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = ordered.get_mut(&person.id) else { return };
        match &person.seen {
            Some(Ok(Seen::Sessions(listed))) => {
                let keys: HashSet<String> = listed.iter().map(|s| key_digest(s.key.as_bytes())).collect();
                before.retain(|key, _| keys.contains(key));
            }
            Some(Ok(Seen::ValidFrom(from))) if self.holds(person, *from) => before.clear(),
            _ => {}
        }
        if before.is_empty() {
            ordered.remove(&person.id);
        }
    }
}

/// One reply for each; an error where all failed for one reason that is about the system.
fn replies(results: Vec<Option<Of<Reply>>>) -> Result<Answer, ConnectorError> {
    let results: Vec<Of<Reply>> = results.into_iter().map(|r| r.expect("each was looked at")).collect();
    let several = results.len() > 1;
    let shared = |result: &Of<Reply>| match result {
        Err(Problem::System(why) | Problem::Broken(why)) => Some(why.clone()),
        Err(Problem::Denied(why)) if several => Some(why.clone()),
        _ => None,
    };
    if let Some(why) = results.first().and_then(shared)
        && results.iter().all(|result| shared(result).as_ref() == Some(&why))
    {
        return Err(why.into());
    }
    let reply = |result: Of<Reply>| match result {
        Ok(reply) => reply,
        Err(Problem::Unfit(why)) => Reply::Unknown(why),
        Err(problem) => Reply::Failed(problem.text().to_owned()),
    };
    Ok(results.into_iter().map(reply).collect::<Vec<_>>().into())
}
