//! HTTP/1.1 over one plain connection: as little as possible between the clock and the socket.
//!
//! It knows what the service and the bare handlers send, and no more: bodies with a length, and
//! streams in chunks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_mins(5);

/// A connection that is kept.
pub(crate) struct Connection {
    address: SocketAddr,
    token: String,
    reader: BufReader<TcpStream>,
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, if the status is this one.
    pub(crate) fn json(&self, status: u16) -> anyhow::Result<Value> {
        if self.status != status {
            bail!("{status} expected, not {}: {}", self.status, String::from_utf8_lossy(&self.body));
        }
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// Whether an introspection says that the session may be used.
    pub(crate) fn is_active(&self) -> anyhow::Result<bool> {
        self.json(200)?["active"].as_bool().context("the answer says whether it is active")
    }
}

impl Connection {
    /// Connects. An empty token is not sent.
    pub(crate) fn open(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { address, token: token.to_owned(), reader: BufReader::new(stream) })
    }

    /// Connects anew: a server hangs up on who says nothing for a minute.
    pub(crate) fn reopen(&mut self) -> anyhow::Result<()> {
        *self = Self::open(self.address, &self.token)?;
        Ok(())
    }

    pub(crate) fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send("GET", path, "accept: */*", b"")?;
        self.answer()
    }

    pub(crate) fn post_json(&mut self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send("POST", path, "content-type: application/json", body.to_string().as_bytes())?;
        self.answer()
    }

    pub(crate) fn post_form(&mut self, path: &str, body: &str) -> anyhow::Result<Answer> {
        self.send("POST", path, "content-type: application/x-www-form-urlencoded", body.as_bytes())?;
        self.answer()
    }

    pub(crate) fn introspect(&mut self, session: &str) -> anyhow::Result<Answer> {
        self.post_form("/oauth2/introspect", &format!("token={session}"))
    }

    /// Asks for a stream of server-sent events; the connection is its from then on.
    pub(crate) fn stream(mut self, path: &str) -> anyhow::Result<Events> {
        self.send("GET", path, "accept: text/event-stream", b"")?;
        let head = self.head()?;
        if head.status != 200 {
            bail!("GET {path}: {}", head.status);
        }
        Ok(Events { chunks: BufReader::new(Chunks { inner: self.reader, left: 0 }) })
    }

    fn send(&mut self, method: &str, path: &str, header: &str, body: &[u8]) -> anyhow::Result<()> {
        let authorization = match self.token.as_str() {
            "" => String::new(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{authorization}{header}\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        Ok(self.reader.get_mut().write_all(&request)?)
    }

    fn head(&mut self) -> anyhow::Result<Head> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut head = Head { status: status.with_context(|| format!("no answer: {line:?}"))?, length: 0 };
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(head) };
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.trim().parse()?;
            }
        }
    }

    fn answer(&mut self) -> anyhow::Result<Answer> {
        let head = self.head()?;
        let mut body = vec![0; head.length];
        self.reader.read_exact(&mut body)?;
        Ok(Answer { status: head.status, body })
    }
}

struct Head {
    status: u16,
    length: usize,
}

/// The body of an answer in chunks.
struct Chunks {
    inner: BufReader<TcpStream>,
    left: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            self.inner.read_line(&mut line)?;
            if line.trim().is_empty() {
                line.clear();
                self.inner.read_line(&mut line)?;
            }
            self.left = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = buffer.len().min(self.left);
        let read = self.inner.read(&mut buffer[..most])?;
        self.left -= read;
        Ok(read)
    }
}

/// A server-sent event.
#[derive(Default)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: String,
}

/// A stream of server-sent events.
pub(crate) struct Events {
    chunks: BufReader<Chunks>,
}

impl Events {
    /// The next event, or none at the end of the stream.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Event>> {
        let (mut event, mut line) = (Event::default(), String::new());
        loop {
            line.clear();
            if self.chunks.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end_matches(['\r', '\n']).split_once(':') {
                Some(("event", name)) => event.name = name.trim_start().to_owned(),
                Some(("data", data)) => event.data.push_str(data.trim_start()),
                Some(_) => {}
                None if event.name.is_empty() && event.data.is_empty() => {}
                None => return Ok(Some(event)),
            }
        }
    }
}
