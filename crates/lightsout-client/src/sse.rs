//! Splits server-sent events (HTML standard, section 9.2) into messages.

/// The longest message that is read.
const MESSAGE_MAX: usize = 1 << 20;

/// What is read so far of a stream. Lines end in LF or CR LF.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    line: Vec<u8>,
    id: String,
    event: String,
    data: String,
}

/// A message with its id, or that of the last one that had an id, and its type, which may be empty.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: String,
}

/// A message is longer than any should be.
#[derive(Debug)]
pub(crate) struct TooLong;

impl Messages {
    /// Takes what came, and gives the messages that it ends. Comments are none.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut ended = Vec::new();
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + self.data.len() + piece.len() > MESSAGE_MAX {
                return Err(TooLong);
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                ended.extend(self.end_line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])));
            }
        }
        Ok(ended)
    }

    fn end_line(&mut self, line: &str) -> Option<Message> {
        // A blank line ends a message.
        if line.is_empty() {
            let (event, data) = (std::mem::take(&mut self.event), std::mem::take(&mut self.data));
            return (!data.is_empty()).then(|| Message { id: self.id.clone(), event, data });
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => value.clone_into(&mut self.id),
            "event" => value.clone_into(&mut self.event),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, event: &str, data: &str) -> Message {
        Message { id: id.to_owned(), event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn messages_are_the_same_however_they_are_cut_and_end() {
        let text = ":\n\nid: 7\nevent: T\ndata: {\"a\":\ndata: 1}\n\n: idle\n\ndata:x\n\nid: 9\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            for size in 1..text.len() {
                let mut messages = Messages::default();
                let read =
                    text.as_bytes().chunks(size).flat_map(|chunk| messages.take(chunk).expect("short"));
                let read: Vec<Message> = read.collect();
                assert_eq!(
                    read,
                    [message("7", "T", "{\"a\":\n1}"), message("7", "", "x")],
                    "in pieces of {size}"
                );
            }
        }
    }

    #[test]
    fn message_without_an_end_is_not_kept() {
        for piece in ["data: ", "x", "data: x\n"] {
            let mut messages = Messages::default();
            let chunk = piece.repeat(1_000);
            let taken = (0..2_000).map_while(|_| messages.take(chunk.as_bytes()).ok()).count();
            assert!(taken < 2_000, "{piece}");
        }
        let mut messages = Messages::default();
        assert!((0..2_000).all(|_| messages.take(":\n\n".repeat(1_000).as_bytes()).is_ok()), "comments pass");
    }
}
