//! Spring Session's `RedisIndexedSessionRepository`, as its source lays it out (spring-session 3).
//!
//! A session is the hash `{namespace}sessions:{id}` with a marker `{namespace}sessions:expires:{id}`;
//! a set for each principal holds the ids, as plain text or as Java serialises a string. The index
//! alone says whose a session is: its attributes are Java objects, and are not read.

use std::collections::HashMap;

use redis::Value;

use super::pass::{BATCH, members};
use super::servers::Servers;
use crate::connector::matching::Matcher;
use crate::connector::{Answer, ConnectorError, Explanation, Reply, Target, Told};

const INDEX: &str =
    "index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:";
/// What Java writes before a short string: magic, version, TC_STRING.
const JAVA_STRING: &[u8] = b"\xac\xed\x00\x05t";
pub(super) fn explain(namespace: &str) -> Explanation {
    Explanation {
        matched: format!("the sessions in the set {namespace}{INDEX}{{subject}}"),
        ended: "UNLINK of the session's hash and its expires marker, then SREM of the id from the set"
            .to_owned(),
        proven: "the set and the hashes are looked for again after the quiet time".to_owned(),
    }
}

/// A session that an index names.
struct Named {
    target: usize,
    /// As the set holds it.
    member: Vec<u8>,
    id: Vec<u8>,
    hash: Vec<u8>,
}

/// Finds or ends the sessions of each target's principal.
pub(super) async fn pass(
    servers: &Servers,
    namespace: &str,
    targets: &[Target],
    ending: bool,
) -> Result<Answer, ConnectorError> {
    let mut matcher = if ending { Matcher::ending(targets) } else { Matcher::finding(targets) };
    let mut failed = HashMap::new();
    let sets: Vec<Vec<u8>> =
        targets.iter().map(|target| format!("{namespace}{INDEX}{}", target.subject).into_bytes()).collect();
    for (chunk, some) in sets.chunks(BATCH).enumerate() {
        let mut named = Vec::new();
        for (n, members) in members(servers, some).await?.into_iter().enumerate() {
            let target = chunk * BATCH + n;
            match members {
                Ok(members) => named.extend(members.into_iter().filter_map(|m| name(namespace, target, m))),
                Err(why) => drop(failed.insert(target, why)),
            }
        }
        for named in named.chunks(BATCH) {
            let told = told(servers, named).await?;
            let there = named.iter().zip(told).filter_map(|(named, told)| Some((named, told?)));
            let over = there.filter_map(|(named, told)| {
                matcher.take_for(named.target, &named.hash, told).then_some(named)
            });
            let over: Vec<&Named> = over.collect();
            if ending {
                end(servers, namespace, &sets, &over).await?;
            }
        }
    }
    servers.check_unmoved().await?;
    let replies = matcher.into_replies().into_iter().enumerate();
    let replies = replies.map(|(n, reply)| failed.remove(&n).map_or(reply, Reply::Failed)).collect();
    let looked = "the servers answer; Spring's index can only be looked up for a user";
    let notes = if targets.is_empty() { vec![looked.to_owned()] } else { Vec::new() };
    Ok(Answer { replies, notes })
}

fn name(namespace: &str, target: usize, member: Vec<u8>) -> Option<Named> {
    let id = id_of(&member)?.to_vec();
    let hash = [namespace.as_bytes(), b"sessions:", &id].concat();
    Some(Named { target, member, id, hash })
}

/// What each hash tells of its session; none: it is gone. One that was written to after its end holds no
/// creation time.
async fn told(servers: &Servers, named: &[Named]) -> Result<Vec<Option<Told>>, ConnectorError> {
    let ask = |command: &str, named: &Named, more: &[&str]| {
        (named.hash.clone(), redis::cmd(command).arg(&named.hash).arg(more).to_owned())
    };
    let questions: Vec<_> = named
        .iter()
        .flat_map(|named| {
            let field = |name| ask("HGET", named, &[name]);
            [ask("EXISTS", named, &[]), field("creationTime"), field("lastAccessedTime")]
        })
        .collect();
    let time = |value: &Value| if let Value::BulkString(bytes) = value { time_of(bytes) } else { None };
    let told = |answers: &[Value; 3]| {
        let [exists, began, seen] = answers;
        let told = Told { began_at: time(began), last_seen_at: time(seen), ..Told::default() };
        (*exists == Value::Int(1)).then_some(told)
    };
    Ok(servers.ask_each(&questions).await?.as_chunks().0.iter().map(told).collect())
}

/// Unlinks hashes and markers, and takes the ids from their sets last: what breaks off before is
/// found again by the index.
async fn end(
    servers: &Servers,
    namespace: &str,
    sets: &[Vec<u8>],
    over: &[&Named],
) -> Result<(), ConnectorError> {
    let unlink = |key: Vec<u8>| (key.clone(), redis::cmd("UNLINK").arg(key).to_owned());
    let hashes: Vec<_> = over.iter().map(|named| unlink(named.hash.clone())).collect();
    servers.ask_each(&hashes).await?;
    let marker = |named: &&Named| unlink([namespace.as_bytes(), b"sessions:expires:", &named.id].concat());
    servers.ask_each(&over.iter().map(marker).collect::<Vec<_>>()).await?;
    let leave = |named: &&Named| {
        let set = &sets[named.target];
        (set.clone(), redis::cmd("SREM").arg(set).arg(&named.member).to_owned())
    };
    servers.ask_each(&over.iter().map(leave).collect::<Vec<_>>()).await.map(drop)
}

/// An id as plain text, in the quotes of JSON, or as Java serialises it.
fn id_of(member: &[u8]) -> Option<&[u8]> {
    let id = match member.strip_prefix(JAVA_STRING) {
        Some([high, low, id @ ..]) if usize::from(u16::from_be_bytes([*high, *low])) == id.len() => id,
        Some(_) => return None,
        None => member.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(member),
    };
    (!id.is_empty()).then_some(id)
}

/// Milliseconds as text, or as Java serialises a `Long`: its eight bytes come last.
fn time_of(bytes: &[u8]) -> Option<i64> {
    if bytes.starts_with(b"\xac\xed\x00\x05sr\x00\x0ejava.lang.Long") {
        let (_, last) = bytes.split_last_chunk::<8>()?;
        return Some(i64::from_be_bytes(*last));
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_are_read_as_java_writes_them() {
        assert_eq!(id_of(b"\xac\xed\x00\x05t\x00\x03abc"), Some(&b"abc"[..]));
        assert_eq!(id_of(b"\xac\xed\x00\x05t\x00\x09abc"), None);
        assert_eq!(id_of(b"abc"), Some(&b"abc"[..]));
        assert_eq!(id_of(b"\"abc\""), Some(&b"abc"[..]));
        assert_eq!(id_of(b""), None);
        let long = b"\xac\xed\x00\x05sr\x00\x0ejava.lang.Long;\x8b\xe4\x90\xcc\x8f#\xdf\x02\x00\x01J\x00\x05valuexr\x00\x10java.lang.Number\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00xp\x00\x00\x01\x46\xff\xff\xff\xff";
        assert_eq!(time_of(long), Some(0x0146_ffff_ffff));
        assert_eq!(time_of(b"1404360000000"), Some(1_404_360_000_000));
        assert_eq!(time_of(b"soon"), None);
    }
}
