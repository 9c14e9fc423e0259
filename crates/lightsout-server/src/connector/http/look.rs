//! Reading what a system says: who somebody is, and whether sessions of theirs live.

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::caller::{Answer, Caller, Paced, Problem, Why};
use super::recipe::{Lookup, Next, Verify};
use super::template::Scope;
use crate::connector::Told;
use crate::domain::fold::fold;

/// The most pages of one list, and sessions in it.
const PAGES_MAX: usize = 1_000;
const SESSIONS_MAX: usize = 500_000;

/// A session that a system lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) told: Told,
    /// The person's id, where the list is everybody's.
    pub(super) owner: Option<String>,
}

/// What stands for one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The sessions that live.
    Sessions(Vec<Listed>),
    /// The time that every living session began at or after.
    ValidFrom(Option<i64>),
}

/// The vendor's id of a subject; none: it knows nobody of this name.
pub(super) async fn id_of(
    caller: &Caller,
    paced: &Paced,
    lookup: &Lookup,
    scope: &Scope<'_>,
) -> Result<Option<String>, Problem> {
    let subject = scope.subject;
    let answer = caller.call(paced, scope).await?;
    let code = answer.code(caller.error.as_ref());
    if lookup.nobody.contains(&answer.status)
        || code.is_some_and(|code| lookup.nobody_error.iter().any(|known| known == code))
    {
        return Ok(None);
    }
    caller.worked(&paced.call, &answer)?;
    let json = json_of(&answer)?;
    let people: Vec<&Value> = match &lookup.list {
        None => vec![json],
        Some(at) => list_at(json, at)?.iter().collect(),
    };
    let is_meant = |person: &&Value| match &lookup.matches {
        None => true,
        Some(at) => text_at(person, at)
            .is_some_and(|name| name == subject || (lookup.ignore_case && fold(&name) == fold(subject))),
    };
    let mut meant = people.into_iter().filter(is_meant);
    let Some(person) = meant.next() else { return Ok(None) };
    if meant.next().is_some() {
        return Err(Problem::Unfit("the system knows several people of this name".to_owned()));
    }
    let id = text_at(person, &lookup.id).filter(|id| !id.is_empty());
    id.map(Some).ok_or_else(|| unexpected(format!("no id stands at {:?} in its answer", lookup.id)))
}

/// What stands for one person, or, where the list is everybody's, all of it.
pub(super) async fn seen(
    caller: &Caller,
    paced: &Paced,
    verify: &Verify,
    scope: &Scope<'_>,
) -> Result<Seen, Problem> {
    let Some(valid_from) = &verify.valid_from else {
        return sessions(caller, paced, verify, scope).await.map(Seen::Sessions);
    };
    let answer = caller.call(paced, scope).await?;
    caller.worked(&paced.call, &answer)?;
    match json_of(&answer)?.pointer(valid_from) {
        None | Some(Value::Null) => Ok(Seen::ValidFrom(None)),
        Some(value) => time_ms(value)
            .map(|at| Seen::ValidFrom(Some(at)))
            .ok_or_else(|| unexpected(format!("no time stands at {valid_from:?} in its answer"))),
    }
}

async fn sessions(
    caller: &Caller,
    paced: &Paced,
    verify: &Verify,
    scope: &Scope<'_>,
) -> Result<Vec<Listed>, Problem> {
    let mut found = Vec::new();
    let mut answer = caller.call(paced, scope).await?;
    let mut last = None;
    for _ in 0..PAGES_MAX {
        caller.worked(&paced.call, &answer)?;
        let json = json_of(&answer)?;
        let at = verify.sessions.as_deref().unwrap_or_default();
        for session in list_at(json, at)? {
            found.extend(listed(verify, session)?);
        }
        if found.len() > SESSIONS_MAX {
            return Err(unexpected(format!("a list of over {SESSIONS_MAX} sessions")));
        }
        let Some(next) = next_page(verify, &answer) else { return Ok(found) };
        if last.as_ref() == Some(&next) {
            return Err(unexpected("its list repeats a page".to_owned()));
        }
        answer = follow(caller, paced, verify, scope, &next).await?;
        last = Some(next);
    }
    Err(unexpected(format!("a list of over {PAGES_MAX} pages")))
}

/// One entry of a list; none if it does not live.
fn listed(verify: &Verify, session: &Value) -> Result<Option<Listed>, Problem> {
    if verify.living.as_ref().is_some_and(|living| !living.is_in(session)) {
        return Ok(None);
    }
    let key_at = verify.key.as_deref().unwrap_or_default();
    let key = text_at(session, key_at).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| unexpected(format!("a session in its list has no {key_at:?}")))?;
    let time = |at: &Option<String>| time_ms(session.pointer(at.as_ref()?)?);
    let text = |at: &Option<String>| text_at(session, at.as_ref()?);
    let told = Told {
        began_at: time(&verify.began_at),
        last_seen_at: time(&verify.last_seen_at),
        device: text(&verify.device),
        address: text(&verify.address),
    };
    let owner = match &verify.owner {
        None => None,
        Some(at) => {
            let owner = text_at(session, at);
            Some(owner.ok_or_else(|| unexpected(format!("a session in its list has no {at:?}")))?)
        }
    };
    Ok(Some(Listed { key, told, owner }))
}

/// Where the next page is: an address, or a cursor.
fn next_page(verify: &Verify, answer: &Answer) -> Option<String> {
    let next = match verify.next.as_ref()? {
        Next::Url(at) | Next::Cursor { at, .. } => text_at(answer.json.as_ref()?, at)?,
        Next::LinkHeader(_) => link_next(&answer.headers)?,
    };
    (!next.is_empty()).then_some(next)
}

async fn follow(
    caller: &Caller,
    paced: &Paced,
    verify: &Verify,
    scope: &Scope<'_>,
    next: &str,
) -> Result<Answer, Problem> {
    let first = caller.url(&paced.call, scope)?;
    if let Some(Next::Cursor { parameter, .. }) = &verify.next {
        if paced.call.form.is_some() {
            return caller.call_at(paced, first, scope, Some((parameter, next))).await;
        }
        let mut url = first;
        url.query_pairs_mut().append_pair(parameter, next);
        return caller.call_at(paced, url, scope, None).await;
    }
    let url = first.join(next).map_err(|_| unexpected("its next page has no address".to_owned()))?;
    if !caller.is_own(&url) {
        return Err(unexpected(
            "its next page is at another place than base_url, and is not followed".to_owned(),
        ));
    }
    caller.call_at(paced, Url::clone(&url), scope, None).await
}

/// The address with `rel="next"` in the headers `Link` (RFC 8288).
fn link_next(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all("link").into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|p| {
            p.trim()
                .strip_prefix("rel=")
                .is_some_and(|rel| rel.trim_matches('"').split(' ').any(|r| r == "next"))
        });
        is_next.then(|| address.to_owned())
    })
}

fn json_of(answer: &Answer) -> Result<&Value, Problem> {
    answer
        .json
        .as_ref()
        .ok_or_else(|| unexpected(format!("its answer of status {} is no JSON", answer.status)))
}

fn list_at<'v>(json: &'v Value, at: &str) -> Result<&'v Vec<Value>, Problem> {
    let list = json.pointer(at).and_then(Value::as_array);
    list.ok_or_else(|| unexpected(format!("no list stands at {at:?} in its answer")))
}

/// A text, or a whole number as text.
pub(super) fn text_at(json: &Value, at: &str) -> Option<String> {
    match json.pointer(at)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Milliseconds since 1970, or RFC 3339.
fn time_ms(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}

fn unexpected(why: String) -> Problem {
    Problem::Denied(Why::Unexpected(why))
}
