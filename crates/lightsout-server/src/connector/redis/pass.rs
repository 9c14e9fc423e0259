//! One pass over a store: SCAN, or the sets of a user index, then the values, then the end of those
//! that are over.
//!
//! While the server answers one question, the values of the one before are examined. A question
//! holds the next SCAN step, the lengths (STRLEN) of the keys found last, and the values of keys whose
//! lengths are known: nothing larger than `value_bytes_max` is ever read.

use std::collections::{HashMap, HashSet, VecDeque};

use futures_util::future::join;
use redis::{Pipeline, Value};

use super::config::Layout;
use super::examine::{Examiner, Said, by_subject};
use super::failure::explain;
use super::servers::{Node, Servers};
use crate::connector::matching::Matcher;
use crate::connector::{ConnectorError, Reply, Target, key_digest};

/// Keys asked for in one SCAN step, and values read at once.
pub(super) const BATCH: usize = 1_000;
/// The most bytes of values read at once, but for a single one.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most ids that a user's set may hold.
const IDS_MAX: i64 = 100_000;
/// How often a session that changes while it is to be ended is looked at again.
const TRIES: usize = 5;
/// How many values a look without targets reads, and how many keys it counts.
pub(super) const SAMPLE: (u64, u64) = (10_000, 2_000_000);

/// A key, and the length of its value.
type Measured = (Vec<u8>, usize);

/// A pass under way.
pub(super) struct Pass<'a> {
    layout: &'a Layout,
    targets: &'a [Target],
    by_subject: HashMap<&'a str, usize>,
    ending: bool,
    pub(super) examiner: Examiner<'a>,
    matcher: Matcher<'a>,
    /// Sessions to be ended: over as they were read.
    over: Vec<Measured>,
    /// Targets that failed, and why.
    failed: HashMap<usize, String>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(layout: &'a Layout, targets: &'a [Target], ending: bool) -> Self {
        Self {
            layout,
            targets,
            by_subject: by_subject(targets),
            ending,
            examiner: Examiner::new(layout, targets),
            matcher: if ending { Matcher::ending(targets) } else { Matcher::finding(targets) },
            over: Vec::new(),
            failed: HashMap::new(),
        }
    }

    /// Reads every session in the store once.
    pub(super) async fn scan(&mut self, servers: &Servers) -> Result<(), ConnectorError> {
        for node in &servers.nodes {
            self.scan_node(node).await?;
        }
        servers.check_unmoved().await
    }

    async fn scan_node(&mut self, node: &Node) -> Result<(), ConnectorError> {
        let pattern = format!("{}*", escape_glob(&self.layout.prefix));
        let mut work = Work { cursor: Some(b"0".to_vec()), ..Work::default() };
        let mut values = Vec::new();
        loop {
            let (questions, asked) = work.next(node, &pattern);
            if questions.is_empty() && values.is_empty() {
                break;
            }
            let examine = async { self.take_in(std::mem::take(&mut values)) };
            let (answers, ()) = join(node.ask(&questions), examine).await;
            values = work.take_in(answers?, asked, self)?;
            if self.over.len() >= BATCH {
                self.end_over(node).await?;
            }
            if self.targets.is_empty() && self.sampled(&mut work) {
                break;
            }
        }
        self.end_over(node).await
    }

    /// For a look without targets: whether enough was seen. Past the sample, keys are only counted.
    fn sampled(&self, work: &mut Work) -> bool {
        if self.examiner.seen.values >= SAMPLE.0 {
            work.unmeasured.clear();
            work.unread.clear();
        }
        self.examiner.seen.keys >= SAMPLE.1
    }

    /// Reads the sessions in each target's set. An id without a session is one that has ended.
    pub(super) async fn look_up(&mut self, servers: &Servers, index: &str) -> Result<(), ConnectorError> {
        let sets: Vec<Vec<u8>> =
            self.targets.iter().map(|t| index.replace("{subject}", &t.subject).into_bytes()).collect();
        for (chunk, sets) in sets.chunks(BATCH).enumerate() {
            let mut keys = HashSet::new();
            for (n, ids) in members(servers, sets).await?.into_iter().enumerate() {
                match ids {
                    Ok(ids) => keys.extend(ids.into_iter().map(|id| self.key(id))),
                    Err(why) => drop(self.failed.insert(chunk * BATCH + n, why)),
                }
            }
            self.read_all(servers, keys).await?;
        }
        servers.check_unmoved().await
    }

    /// A set may hold ids, or whole keys.
    fn key(&self, id: Vec<u8>) -> Vec<u8> {
        let prefix = self.layout.prefix.as_bytes();
        if id.starts_with(prefix) { id } else { [prefix, &id].concat() }
    }

    async fn read_all(&mut self, servers: &Servers, keys: HashSet<Vec<u8>>) -> Result<(), ConnectorError> {
        let mut by_node = vec![Vec::new(); servers.nodes.len()];
        for key in keys {
            by_node[servers.node_of(&key)].push(key);
        }
        for (node, keys) in servers.nodes.iter().zip(by_node) {
            for keys in keys.chunks(BATCH) {
                let mut work = Work { unmeasured: keys.to_vec(), ..Work::default() };
                loop {
                    let (questions, asked) = work.next(node, "");
                    if questions.is_empty() {
                        break;
                    }
                    let values = work.take_in(node.ask(&questions).await?, asked, self)?;
                    self.take_in(values);
                }
            }
            self.end_over(node).await?;
        }
        Ok(())
    }

    /// Examines values.
    fn take_in(&mut self, values: Vec<(Measured, Vec<u8>)>) {
        for ((key, _), value) in values {
            let Some(said) = self.examiner.examine(&key, &value) else { continue };
            if !self.ending {
                self.matcher.take(&said.subject, &key, said.began_at);
            } else if self.is_over(&key, &said) {
                self.over.push((key, value.len()));
            }
        }
    }

    fn is_over(&self, key: &[u8], said: &Said) -> bool {
        let target = self.by_subject.get(said.subject.as_str()).map(|n| &self.targets[*n]);
        target.is_some_and(|target| target.is_over(&key_digest(key), said.began_at))
    }

    /// Ends what was found to be over. Each value is read once more and judged anew, and is deleted
    /// only if nobody has written to it since that.
    async fn end_over(&mut self, node: &Node) -> Result<(), ConnectorError> {
        if self.over.is_empty() {
            return Ok(());
        }
        let apart = node.apart().await?;
        let mut over = VecDeque::from(std::mem::take(&mut self.over));
        while !over.is_empty() {
            let chunk = take_chunk(&mut over, if node.clustered { 1 } else { BATCH });
            let keys: Vec<Vec<u8>> = chunk.into_iter().map(|(key, _)| key).collect();
            if !self.end_together(&apart, &keys).await? {
                for key in keys {
                    self.end_alone(&apart, key).await?;
                }
            }
        }
        Ok(())
    }

    async fn end_alone(&mut self, node: &Node, key: Vec<u8>) -> Result<(), ConnectorError> {
        let keys = [key];
        for _ in 0..TRIES {
            if self.end_together(node, &keys).await? {
                return Ok(());
            }
        }
        // It is still a target's, as every look has found.
        let values = values_of(node.ask(&get(node, &keys)).await?, 1)?;
        let said = values.into_iter().flatten().next().and_then(|value| self.examiner.read(&value).ok()?);
        if let Some(n) = said.and_then(|said| self.by_subject.get(said.subject.as_str())) {
            let why = "a session was written to again and again while it was to be ended";
            self.failed.insert(*n, why.to_owned());
        }
        Ok(())
    }

    /// One try: WATCH and read, judge, UNLINK in a transaction. False: somebody wrote in between, and
    /// nothing was deleted.
    async fn end_together(&mut self, node: &Node, keys: &[Vec<u8>]) -> Result<bool, ConnectorError> {
        let mut watch = redis::pipe();
        watch.cmd("WATCH").arg(keys);
        for question in get(node, keys).cmd_iter() {
            watch.add_command(question.clone());
        }
        let mut answers = node.ask(&watch).await?;
        answers.remove(0).extract_error().map_err(|e| explain(&e))?;
        let values = values_of(answers, keys.len())?;
        let judged = keys.iter().zip(values).filter_map(|(key, value)| {
            let said = self.examiner.read(&value?).ok()??;
            self.is_over(key, &said).then_some((key, said))
        });
        let judged: Vec<(&Vec<u8>, Said)> = judged.collect();
        if judged.is_empty() {
            node.ask_one(&redis::cmd("UNWATCH")).await.map_err(|e| explain(&e))?;
            return Ok(true);
        }
        let keys: Vec<&Vec<u8>> = judged.iter().map(|(key, _)| *key).collect();
        let mut unlink = redis::pipe();
        unlink.cmd("MULTI").cmd("UNLINK").arg(keys).cmd("EXEC");
        for answer in node.ask(&unlink).await? {
            match answer.extract_error() {
                Ok(Value::Nil) => return Ok(false),
                Ok(_) => {}
                Err(error) => return Err(explain(&error)),
            }
        }
        for (key, said) in judged {
            self.matcher.take(&said.subject, key, said.began_at);
        }
        Ok(true)
    }

    /// One for each target, in order.
    pub(super) fn into_replies(mut self) -> Vec<Reply> {
        let replies = std::mem::replace(&mut self.matcher, Matcher::finding(&[])).into_replies();
        let failed = |(n, reply)| self.failed.remove(&n).map_or(reply, Reply::Failed);
        replies.into_iter().enumerate().map(failed).collect()
    }
}

/// What is still to be asked of one server.
#[derive(Default)]
struct Work {
    /// Where SCAN goes on; none: it is through.
    cursor: Option<Vec<u8>>,
    unmeasured: Vec<Vec<u8>>,
    unread: VecDeque<Measured>,
}

/// What one question asked for, in this order.
struct Asked {
    scan: bool,
    lengths: Vec<Vec<u8>>,
    values: Vec<Measured>,
}

impl Work {
    fn next(&mut self, node: &Node, pattern: &str) -> (Pipeline, Asked) {
        let mut questions = redis::pipe();
        // Large values are read in several steps; SCAN waits for them.
        let cursor = self.cursor.as_ref().filter(|_| self.unread.len() <= 2 * BATCH);
        let scan = cursor.is_some();
        if let Some(cursor) = cursor {
            questions.cmd("SCAN").arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(BATCH);
        }
        let lengths = std::mem::take(&mut self.unmeasured);
        for key in &lengths {
            questions.cmd("STRLEN").arg(key);
        }
        let values = take_chunk(&mut self.unread, BATCH);
        let keys: Vec<&[u8]> = values.iter().map(|(key, _)| key.as_slice()).collect();
        for question in get(node, &keys).cmd_iter() {
            questions.add_command(question.clone());
        }
        (questions, Asked { scan, lengths, values })
    }

    /// Takes answers in, and gives the values that were read.
    fn take_in(
        &mut self,
        answers: Vec<Value>,
        asked: Asked,
        pass: &mut Pass<'_>,
    ) -> Result<Vec<(Measured, Vec<u8>)>, ConnectorError> {
        let mut answers = answers.into_iter();
        let mut next = || answers.next().ok_or_else(|| unexpected("fewer answers than questions"));
        if asked.scan {
            let (cursor, keys) = step(next()?)?;
            self.cursor = (cursor != b"0").then_some(cursor);
            pass.examiner.seen.keys += keys.len() as u64;
            self.unmeasured = keys;
        }
        for key in asked.lengths {
            match next()?.extract_error() {
                Ok(Value::Int(0)) => {}
                Ok(Value::Int(length)) => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    if length > pass.layout.value_bytes_max {
                        pass.examiner.too_large(&key);
                    } else {
                        self.unread.push_back((key, length));
                    }
                }
                Ok(_) => return Err(unexpected("no length")),
                Err(error) if error.code() == Some("WRONGTYPE") => pass.examiner.other_type(&key),
                Err(error) => return Err(explain(&error)),
            }
        }
        let values = values_of(answers.collect(), asked.values.len())?;
        let pairs = asked.values.into_iter().zip(values);
        Ok(pairs.filter_map(|(key, value)| Some((key, value?))).collect())
    }
}

/// Takes at most `count` keys, and at most `BYTES_MAX` bytes of values, but at least one.
fn take_chunk(from: &mut VecDeque<Measured>, count: usize) -> Vec<Measured> {
    let mut bytes = 0;
    let fits = from.iter().take(count).enumerate().take_while(|(n, (_, length))| {
        bytes += length;
        *n == 0 || bytes <= BYTES_MAX
    });
    let fits = fits.count();
    from.drain(..fits).collect()
}

/// Asks for the values of some keys: together, or one by one where they may lie in several slots.
fn get<K: redis::ToRedisArgs>(node: &Node, keys: &[K]) -> Pipeline {
    let mut questions = redis::pipe();
    if node.clustered {
        for key in keys {
            questions.cmd("GET").arg(key);
        }
    } else if !keys.is_empty() {
        questions.cmd("MGET").arg(keys);
    }
    questions
}

/// The values that were asked for by [`get`]; none where a key is gone, or is of another type.
fn values_of(mut answers: Vec<Value>, count: usize) -> Result<Vec<Option<Vec<u8>>>, ConnectorError> {
    if let [Value::Array(_)] = answers.as_slice() {
        let Some(Value::Array(together)) = answers.pop() else { return Err(unexpected("no values")) };
        answers = together;
    }
    if answers.len() != count {
        return Err(answers
            .into_iter()
            .find_map(|answer| answer.extract_error().err())
            .map_or_else(|| unexpected("not as many values as keys"), |error| explain(&error)));
    }
    let value = |answer: Value| match answer.extract_error() {
        Ok(Value::BulkString(bytes)) => Ok(Some(bytes)),
        Ok(Value::Nil) => Ok(None),
        Ok(_) => Err(unexpected("no value")),
        Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
        Err(error) => Err(explain(&error)),
    };
    answers.into_iter().map(value).collect()
}

/// The answer of SCAN: where to go on, and keys.
fn step(answer: Value) -> Result<(Vec<u8>, Vec<Vec<u8>>), ConnectorError> {
    let answer = answer.extract_error().map_err(|e| explain(&e))?;
    let Value::Array(parts) = answer else { return Err(unexpected("no keys")) };
    let Ok([Value::BulkString(cursor), Value::Array(keys)]) = <[Value; 2]>::try_from(parts) else {
        return Err(unexpected("no keys"));
    };
    Ok((cursor, keys.into_iter().filter_map(bytes).collect()))
}

pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

/// The ids in a set, or why they are not read.
type Members = Result<Vec<Vec<u8>>, String>;

/// The ids in each of some sets, in order.
pub(super) async fn members(servers: &Servers, sets: &[Vec<u8>]) -> Result<Vec<Members>, ConnectorError> {
    let ask = |command: &str, set: &Vec<u8>| (set.clone(), redis::cmd(command).arg(set).to_owned());
    // TYPE and not SCARD alone: what is no set is that user's trouble only.
    let types: Vec<_> = sets.iter().map(|set| ask("TYPE", set)).collect();
    let types = servers.ask_each(&types).await?;
    let is_set = |answer: &Value| matches!(answer, Value::SimpleString(kind) if kind == "set");
    let there: Vec<&Vec<u8>> =
        sets.iter().zip(&types).filter(|(_, t)| is_set(t)).map(|(set, _)| set).collect();
    let sizes: Vec<_> = there.iter().map(|set| ask("SCARD", set)).collect();
    let sizes = servers.ask_each(&sizes).await?;
    let small = |size: &Value| matches!(size, Value::Int(size) if *size <= IDS_MAX);
    let asked: Vec<_> = there
        .iter()
        .zip(&sizes)
        .filter(|(_, size)| small(size))
        .map(|(set, _)| ask("SMEMBERS", set))
        .collect();
    let (mut sizes, mut ids) = (sizes.into_iter(), servers.ask_each(&asked).await?.into_iter());
    let found = types.into_iter().map(|kind| match kind {
        kind if is_set(&kind) => match sizes.next() {
            Some(Value::Int(size)) if size > IDS_MAX => {
                Ok(Err(format!("the set of its sessions holds {size} ids; at most {IDS_MAX} are read")))
            }
            _ => match ids.next() {
                Some(Value::Array(ids) | Value::Set(ids)) => {
                    Ok(Ok(ids.into_iter().filter_map(bytes).collect()))
                }
                _ => Err(unexpected("no set")),
            },
        },
        Value::SimpleString(kind) if kind == "none" => Ok(Ok(Vec::new())),
        _ => Ok(Err("what stands at its index is not a set".to_owned())),
    });
    found.collect()
}

fn unexpected(what: &str) -> ConnectorError {
    ConnectorError::Unexpected(format!("Redis gave {what}"))
}

/// Takes the special meaning from characters of a glob pattern.
pub(super) fn escape_glob(text: &str) -> String {
    text.chars().flat_map(|c| if "*?[]\\^-".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_matched_literally() {
        assert_eq!(escape_glob("s*ss[1]:"), "s\\*ss\\[1\\]:");
    }

    #[test]
    fn large_values_are_read_a_few_at_a_time() {
        let mut unread: VecDeque<Measured> = [9, 3, 3, 3].map(|mib| (vec![], mib * 1024 * 1024)).into();
        let taken: Vec<usize> = std::iter::from_fn(|| {
            let chunk = take_chunk(&mut unread, 1_000);
            (!chunk.is_empty()).then_some(chunk.len())
        })
        .collect();
        assert_eq!(taken, [1, 2, 1]);
    }
}
