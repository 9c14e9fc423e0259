//! Spring Session's `RedisIndexedSessionRepository`, as its source lays it out (spring-session 3).
//!
//! A session is the hash `{namespace}sessions:{id}` with a marker `{namespace}sessions:expires:{id}`;
//! a set for each principal holds the ids, as plain text or as Java serialises a string. The index
//! alone says whose a session is: its attributes are Java objects, and are not read.

use redis::Value;

use super::failure::explain as explain_failure;
use super::servers::Servers;
use crate::connector::matching::Matcher;
use crate::connector::{Answer, ConnectorError, Explanation, Target};

const INDEX: &str =
    "index:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME:";
/// What Java writes before a short string: magic, version, TC_STRING.
const JAVA_STRING: &[u8] = b"\xac\xed\x00\x05t";
/// The most ids that a principal's set may hold.
const IDS_MAX: usize = 100_000;

pub(super) fn explain(namespace: &str) -> Explanation {
    Explanation {
        matched: format!("the sessions in the set {namespace}{INDEX}{{subject}}"),
        ended: "UNLINK of the session's hash and its expires marker, then SREM of the id from the set"
            .to_owned(),
        proven: "the set and the hashes are looked for again after the quiet time".to_owned(),
    }
}

/// Finds or ends the sessions of each target's principal.
pub(super) async fn pass(
    servers: &Servers,
    namespace: &str,
    targets: &[Target],
    ending: bool,
) -> Result<Answer, ConnectorError> {
    let mut matcher = if ending { Matcher::ending(targets) } else { Matcher::finding(targets) };
    let store = Store { servers, namespace };
    for (n, target) in targets.iter().enumerate() {
        let set = format!("{namespace}{INDEX}{}", target.subject).into_bytes();
        for member in store.members(&set).await? {
            let Some(id) = id_of(&member) else { continue };
            let hash = store.key("sessions:", id);
            if let Some(began_at) = store.began_at(&hash).await?
                && matcher.take_for(n, &hash, began_at)
                && ending
            {
                store.end(id, &hash, &set, &member).await?;
            }
        }
    }
    servers.check_unmoved().await?;
    let replies = matcher.into_replies();
    Ok(Answer { replies, notes: Vec::new() })
}

struct Store<'a> {
    servers: &'a Servers,
    namespace: &'a str,
}

impl Store<'_> {
    fn key(&self, kind: &str, id: &[u8]) -> Vec<u8> {
        [self.namespace.as_bytes(), kind.as_bytes(), id].concat()
    }

    async fn ask(&self, command: &str, key: &[u8], more: &[&[u8]]) -> Result<Value, ConnectorError> {
        let node = &self.servers.nodes[self.servers.node_of(key)];
        node.ask_one(redis::cmd(command).arg(key).arg(more)).await.map_err(|e| explain_failure(&e))
    }

    async fn members(&self, set: &[u8]) -> Result<Vec<Vec<u8>>, ConnectorError> {
        if let Value::Int(size) = self.ask("SCARD", set, &[]).await?
            && usize::try_from(size).unwrap_or(usize::MAX) > IDS_MAX
        {
            let why = format!("a principal's set holds {size} ids; at most {IDS_MAX} are read");
            return Err(ConnectorError::Unexpected(why));
        }
        match self.ask("SMEMBERS", set, &[]).await? {
            Value::Array(ids) | Value::Set(ids) => {
                Ok(ids.into_iter().filter_map(super::pass::bytes).collect())
            }
            _ => Err(ConnectorError::Unexpected("the index is not a set".to_owned())),
        }
    }

    /// When a session began, if its hash is there.
    async fn began_at(&self, hash: &[u8]) -> Result<Option<Option<i64>>, ConnectorError> {
        match self.ask("HGET", hash, &[b"creationTime"]).await? {
            Value::BulkString(bytes) => Ok(Some(time_of(&bytes))),
            // A hash that was written to after its end holds no creation time.
            _ => Ok((self.ask("EXISTS", hash, &[]).await? == Value::Int(1)).then_some(None)),
        }
    }

    async fn end(&self, id: &[u8], hash: &[u8], set: &[u8], member: &[u8]) -> Result<(), ConnectorError> {
        self.ask("UNLINK", hash, &[]).await?;
        self.ask("UNLINK", &self.key("sessions:expires:", id), &[]).await?;
        // Last: what breaks off before is found again by the index.
        self.ask("SREM", set, &[member]).await.map(drop)
    }
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
