//! Python's pickle, read as plain data.
//!
//! The opcodes are those of protocols 0 to 5 (CPython's `pickletools`). Dicts, lists, tuples, sets,
//! texts, bytes and numbers are built; whatever Python would import, call or restore becomes an
//! object that nothing is known of. Nothing is executed. Values that a pickle names twice are shared,
//! so a short value cannot become a large one.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Found, Path, Scalar, Unreadable};

/// The most opcodes of a value; each builds a bounded number of things.
const OPCODES_MAX: usize = 1_000_000;

const BROKEN: Unreadable = Unreadable("not a pickle");

/// Reads paths of a dict.
pub(super) fn read(bytes: &[u8], paths: &[&Path]) -> Result<Found, Unreadable> {
    if !begins_like_a_dict(bytes) {
        return Err(BROKEN);
    }
    let mut machine = Machine {
        input: bytes,
        things: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let top = machine.run()?;
    if !machine.input.is_empty() {
        return Err(Unreadable("a pickle, but more follows"));
    }
    if !matches!(machine.things[top], Thing::Dict(_)) {
        return Err(Unreadable("a pickle, but not of a dict"));
    }
    Ok(paths.iter().map(|path| machine.scalar(machine.follow(top, path.names())?)).collect())
}

/// Whether a value has the header of protocol 2 and later, or begins with a dict as those before do.
pub(super) fn begins_like_a_dict(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(0x80 | b'(' | b'}'))
}

/// The number of a thing.
type Id = usize;

/// What a pickle builds.
enum Thing<'b> {
    Nothing,
    Int(i128),
    Float(f64),
    Text(Cow<'b, str>),
    Bytes(&'b [u8]),
    /// A list, a tuple or a set.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// What Python would import, call or restore; and numbers too large to be a name.
    Opaque,
}

struct Machine<'b> {
    input: &'b [u8],
    things: Vec<Thing<'b>>,
    stack: Vec<Id>,
    /// The heights of the stack where a MARK stands.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<'b> Machine<'b> {
    /// Runs until STOP, and gives what then lies on top.
    fn run(&mut self) -> Result<Id, Unreadable> {
        for _ in 0..OPCODES_MAX {
            let opcode = self.byte()?;
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)?;
        }
        Err(Unreadable("a pickle of too many steps"))
    }

    fn step(&mut self, opcode: u8) -> Result<(), Unreadable> {
        match opcode {
            // PROTO, FRAME
            0x80 => self.skip(1),
            0x95 => self.skip(8),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop_or_mark(),
            b'1' => self.pop_mark().map(drop),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.memorise(opcode),
            b'N' | b'I' | b'J' | b'K' | b'M' | b'L' | 0x8a | 0x8b | b'F' | b'G' | 0x88 | 0x89 => {
                let number = self.number(opcode)?;
                self.push(number);
                Ok(())
            }
            b'V' | b'X' | 0x8c | 0x8d | b'S' | b'T' | b'U' | b'B' | b'C' | 0x8e | 0x96 => {
                let text = self.text(opcode)?;
                self.push(text);
                Ok(())
            }
            b']' | b'l' | b')' | b't' | 0x85..=0x87 | 0x8f | 0x91 | b'a' | b'e' | 0x90 => self.list(opcode),
            b'}' | b'd' | b's' | b'u' => self.dict(opcode),
            _ => self.object(opcode),
        }
    }

    /// PUT, BINPUT, LONG_BINPUT, MEMOIZE; GET, BINGET, LONG_BINGET.
    fn memorise(&mut self, opcode: u8) -> Result<(), Unreadable> {
        let index = match opcode {
            b'p' | b'g' => ascii(self.line()?)?.trim().parse().map_err(|_| BROKEN)?,
            b'q' | b'h' => self.length(1)?,
            b'r' | b'j' => self.length(4)?,
            _ => self.memo.len() as u64,
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let id = *self.memo.get(&index).ok_or(BROKEN)?;
            self.stack.push(id);
        } else {
            let top = self.top()?;
            self.memo.insert(index, top);
        }
        Ok(())
    }

    /// NONE, INT, BININT, BININT1, BININT2, LONG, LONG1, LONG4, FLOAT, BINFLOAT, NEWTRUE, NEWFALSE.
    fn number(&mut self, opcode: u8) -> Result<Thing<'b>, Unreadable> {
        let decimal = |line: &[u8]| -> Result<Thing<'b>, Unreadable> {
            let digits = ascii(line)?.trim();
            let digits = digits.strip_suffix('L').unwrap_or(digits);
            Ok(digits.parse().map_or(Thing::Opaque, Thing::Int))
        };
        Ok(match opcode {
            b'I' => match self.line()? {
                b"00" | b"01" => Thing::Opaque,
                line => decimal(line)?,
            },
            b'J' => Thing::Int(little_endian(self.take(4)?)),
            b'K' => Thing::Int(self.byte()?.into()),
            b'M' => Thing::Int(self.length(2)?.into()),
            b'L' => decimal(self.line()?)?,
            0x8a | 0x8b => {
                let length = self.length(if opcode == 0x8a { 1 } else { 4 })?;
                match self.take_long(length)? {
                    bytes if bytes.len() <= 16 => Thing::Int(little_endian(bytes)),
                    _ => Thing::Opaque,
                }
            }
            b'F' => Thing::Float(ascii(self.line()?)?.trim().parse().map_err(|_| BROKEN)?),
            b'G' => {
                let bytes: [u8; 8] = self.take(8)?.try_into().expect("eight were taken");
                Thing::Float(f64::from_be_bytes(bytes))
            }
            b'N' => Thing::Nothing,
            _ => Thing::Opaque,
        })
    }

    /// UNICODE, BINUNICODE and its short and long forms, STRING and its forms, bytes and theirs.
    fn text(&mut self, opcode: u8) -> Result<Thing<'b>, Unreadable> {
        let width = match opcode {
            b'V' => return Ok(Thing::Text(unescape(self.line()?)?.into())),
            b'S' => return Ok(quoted(self.line()?)),
            0x8c | b'U' | b'C' => 1,
            b'X' | b'T' | b'B' => 4,
            _ => 8,
        };
        let length = self.length(width)?;
        let bytes = self.take_long(length)?;
        Ok(match opcode {
            // Python writes lone halves of a pair, too; such a text is nobody's name.
            b'X' | 0x8c | 0x8d | b'T' | b'U' => {
                std::str::from_utf8(bytes).map_or(Thing::Bytes(bytes), |text| Thing::Text(text.into()))
            }
            _ => Thing::Bytes(bytes),
        })
    }

    /// Lists, tuples and sets.
    fn list(&mut self, opcode: u8) -> Result<(), Unreadable> {
        match opcode {
            b']' | b')' | 0x8f => self.push(Thing::List(Vec::new())),
            b'l' | b't' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Thing::List(items));
            }
            0x85..=0x87 => {
                let from = self.floor(usize::from(opcode - 0x84))?;
                let items = self.stack.split_off(from);
                self.push(Thing::List(items));
            }
            _ => {
                let items = if opcode == b'a' { vec![self.pop()?] } else { self.pop_mark()? };
                let top = self.top()?;
                if let Thing::List(list) = &mut self.things[top] {
                    list.extend(items);
                }
            }
        }
        Ok(())
    }

    fn dict(&mut self, opcode: u8) -> Result<(), Unreadable> {
        if opcode == b'}' {
            self.push(Thing::Dict(Vec::new()));
            return Ok(());
        }
        let items = if opcode == b's' {
            let from = self.floor(2)?;
            self.stack.split_off(from)
        } else {
            self.pop_mark()?
        };
        if items.len() % 2 == 1 {
            return Err(BROKEN);
        }
        let pairs = items.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        if opcode == b'd' {
            let dict = Thing::Dict(pairs.collect());
            self.push(dict);
        } else {
            let top = self.top()?;
            if let Thing::Dict(dict) = &mut self.things[top] {
                dict.extend(pairs);
            }
        }
        Ok(())
    }

    /// What Python would import, call or restore: its operands go, and an object comes of which
    /// nothing is known.
    fn object(&mut self, opcode: u8) -> Result<(), Unreadable> {
        match opcode {
            // GLOBAL, INST: a module and a name
            b'c' | b'i' => {
                self.line()?;
                self.line()?;
            }
            // PERSID
            b'P' => drop(self.line()?),
            // EXT1, EXT2, EXT4
            0x82 => self.skip(1)?,
            0x83 => self.skip(2)?,
            0x84 => self.skip(4)?,
            // READONLY_BUFFER changes nothing that is seen here.
            0x98 => return self.top().map(drop),
            _ => {}
        }
        let operands = match opcode {
            // INST, OBJ
            b'i' | b'o' => {
                self.pop_mark()?;
                0
            }
            b'c' | b'P' | 0x82..=0x84 | 0x97 => 0,
            // BINPERSID
            b'Q' => 1,
            // REDUCE, BUILD, NEWOBJ, STACK_GLOBAL
            b'R' | b'b' | 0x81 | 0x93 => 2,
            // NEWOBJ_EX
            0x92 => 3,
            _ => return Err(BROKEN),
        };
        let from = self.floor(operands)?;
        self.stack.truncate(from);
        self.push(Thing::Opaque);
        Ok(())
    }

    fn push(&mut self, thing: Thing<'b>) {
        self.things.push(thing);
        self.stack.push(self.things.len() - 1);
    }

    /// Where the topmost `count` things begin; none of them lies below a MARK.
    fn floor(&self, count: usize) -> Result<usize, Unreadable> {
        let from = self.stack.len().checked_sub(count).ok_or(BROKEN)?;
        if from < self.marks.last().copied().unwrap_or(0) { Err(BROKEN) } else { Ok(from) }
    }

    fn top(&self) -> Result<Id, Unreadable> {
        Ok(self.stack[self.floor(1)?])
    }

    fn pop(&mut self) -> Result<Id, Unreadable> {
        self.floor(1)?;
        self.stack.pop().ok_or(BROKEN)
    }

    /// POP takes a MARK away if that is what lies on top.
    fn pop_or_mark(&mut self) -> Result<(), Unreadable> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, Unreadable> {
        let mark = self.marks.pop().ok_or(BROKEN)?;
        Ok(self.stack.split_off(mark))
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn skip(&mut self, count: usize) -> Result<(), Unreadable> {
        self.take(count).map(drop)
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], Unreadable> {
        let (taken, rest) = self.input.split_at_checked(count).ok_or(BROKEN)?;
        self.input = rest;
        Ok(taken)
    }

    fn take_long(&mut self, count: u64) -> Result<&'b [u8], Unreadable> {
        self.take(usize::try_from(count).map_err(|_| BROKEN)?)
    }

    fn length(&mut self, width: usize) -> Result<u64, Unreadable> {
        Ok(self.take(width)?.iter().rev().fold(0, |length, byte| length << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<&'b [u8], Unreadable> {
        let end = self.input.iter().position(|byte| *byte == b'\n').ok_or(BROKEN)?;
        let line = self.take(end)?;
        self.skip(1)?;
        Ok(line)
    }

    fn follow(&self, from: Id, names: &[String]) -> Option<Id> {
        names.iter().try_fold(from, |id, name| match &self.things[id] {
            Thing::List(items) => items.get(name.parse::<usize>().ok()?).copied(),
            // Of two equal keys the later one counts.
            Thing::Dict(pairs) => {
                let pair = pairs.iter().rev().find(|(key, _)| self.is_named(*key, name));
                pair.map(|(_, value)| *value)
            }
            _ => None,
        })
    }

    fn is_named(&self, key: Id, name: &str) -> bool {
        match &self.things[key] {
            Thing::Text(text) => text == name,
            Thing::Bytes(bytes) => *bytes == name.as_bytes(),
            Thing::Int(n) => n.to_string() == name,
            _ => false,
        }
    }

    fn scalar(&self, id: Id) -> Option<Scalar> {
        match &self.things[id] {
            Thing::Text(text) => Some(Scalar::Text(text.clone().into_owned())),
            Thing::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(|text| Scalar::Text(text.to_owned())),
            Thing::Int(n) => {
                Some(i64::try_from(*n).map_or_else(|_| Scalar::Text(n.to_string()), Scalar::Int))
            }
            Thing::Float(n) => Some(Scalar::Float(*n)),
            Thing::Nothing | Thing::List(_) | Thing::Dict(_) | Thing::Opaque => None,
        }
    }
}

/// A whole number in two's complement, lowest byte first; at most 16 bytes.
fn little_endian(bytes: &[u8]) -> i128 {
    let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    let mut whole = if negative { [0xff; 16] } else { [0; 16] };
    whole[..bytes.len()].copy_from_slice(bytes);
    i128::from_le_bytes(whole)
}

fn ascii(line: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(line).map_err(|_| BROKEN)
}

/// Protocol 0's text: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
fn unescape(line: &[u8]) -> Result<String, Unreadable> {
    let (mut text, mut rest) = (Vec::new(), line);
    while let Some((first, after)) = rest.split_first() {
        let digits = match (first, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(u32::from(*first));
                rest = after;
                continue;
            }
        };
        let code = after.get(1..=digits).ok_or(BROKEN)?;
        text.push(u32::from_str_radix(ascii(code)?, 16).map_err(|_| BROKEN)?);
        rest = &after[digits + 1..];
    }
    Ok(text.into_iter().map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

/// Python 2's text as protocol 0 writes it. One with escapes is nobody's name.
fn quoted(line: &[u8]) -> Thing<'_> {
    let ([b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"']) = line else { return Thing::Opaque };
    match std::str::from_utf8(inner) {
        Ok(text) if !text.contains('\\') => Thing::Text(text.into()),
        _ => Thing::Opaque,
    }
}

#[cfg(test)]
mod tests;
