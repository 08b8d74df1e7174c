//! Follows the structure of RESP2 replies byte by byte and enforces the limits, without building any value.

use super::{BYTES_LIMIT, Excess, Spent};

/// Values in the replies to one command or pipeline, those inside arrays included. In memory a value takes 56 bytes and
/// more, whatever its length on the wire.
pub(super) const VALUES_LIMIT: usize = 4_096;
/// Arrays inside each other. `ACL GETUSER` of Redis 7 has three.
pub(super) const DEPTH_LIMIT: usize = 8;
/// Bytes of a line: a status, an error, a number or a length. The text of a bulk string is not a line.
pub(super) const LINE_LIMIT: usize = 4 << 10;

/// The reply of a server that has reached `maxclients`, before it closes the connection.
const FULL: &[u8] = b"-ERR max number of clients";

/// The position of the next byte within a reply. The cost per byte is constant, however the stream is fragmented.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// The line that has begun.
    line: Vec<u8>,
    /// True once the first line has ended.
    begun: bool,
    /// Bytes of a bulk string that are to come.
    text: usize,
    /// True if the text of a bulk string ends here.
    after_text: bool,
    /// The number of missing values of each open array.
    open: Vec<usize>,
}

impl Position {
    pub(super) fn advance(&mut self, mut bytes: &[u8], spent: &mut Spent) -> Result<(), Excess> {
        spent.bytes = spent.bytes.saturating_add(bytes.len());
        if spent.bytes > BYTES_LIMIT {
            return Err(Excess::Bytes);
        }
        while !bytes.is_empty() {
            if self.text > 0 {
                let (_, rest) = bytes.split_at(self.text.min(bytes.len()));
                self.text -= bytes.len() - rest.len();
                bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            let (piece, rest) = bytes.split_at(end);
            bytes = rest;
            if self.line.len() + piece.len() > LINE_LIMIT {
                return Err(Excess::Line);
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                // The library ends a line at CR LF alone: both have to see the same lines.
                let line = self.line.strip_suffix(b"\r\n").ok_or(Excess::Protocol)?;
                spent.is_full |= !self.begun && line.starts_with(FULL);
                self.begun = true;
                let header = if self.after_text { Header::end_of_text(line) } else { Header::read(line) }?;
                self.line.clear();
                self.take(header, spent)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, header: Header, spent: &mut Spent) -> Result<(), Excess> {
        if self.after_text {
            self.after_text = false;
            self.complete();
            return Ok(());
        }
        // The values of an array count when their number is announced.
        let outermost = usize::from(self.open.is_empty());
        let announced = if let Header::Array(length) = header { length } else { 0 };
        spent.values = spent.values.saturating_add(outermost).saturating_add(announced);
        if spent.values > VALUES_LIMIT {
            return Err(Excess::Values);
        }
        match header {
            Header::Bulk(length) if length > BYTES_LIMIT => return Err(Excess::Bytes),
            Header::Bulk(length) => (self.text, self.after_text) = (length, true),
            Header::Array(1..) if self.open.len() >= DEPTH_LIMIT => return Err(Excess::Depth),
            Header::Array(length @ 1..) => self.open.push(length),
            Header::Array(0) | Header::Whole => self.complete(),
        }
        Ok(())
    }

    /// Counts a complete value, and the arrays that it completes.
    fn complete(&mut self) {
        while let Some(lacking) = self.open.last_mut() {
            *lacking -= 1;
            if *lacking > 0 {
                break;
            }
            self.open.pop();
        }
    }
}

/// The meaning of the first line of a value.
#[derive(Clone, Copy)]
enum Header {
    /// The value is complete.
    Whole,
    /// A text of this many bytes follows.
    Bulk(usize),
    /// This many values follow.
    Array(usize),
}

impl Header {
    fn read(line: &[u8]) -> Result<Self, Excess> {
        let (kind, rest) = line.split_first().ok_or(Excess::Protocol)?;
        match kind {
            b'+' | b'-' | b':' => Ok(Self::Whole),
            // No value.
            b'$' | b'*' if rest == b"-1" => Ok(Self::Whole),
            b'$' => Ok(Self::Bulk(length(rest)?)),
            b'*' => Ok(Self::Array(length(rest)?)),
            _ => Err(Excess::Protocol),
        }
    }

    fn end_of_text(line: &[u8]) -> Result<Self, Excess> {
        if line.is_empty() { Ok(Self::Whole) } else { Err(Excess::Protocol) }
    }
}

/// A length in decimal digits, without a sign.
fn length(digits: &[u8]) -> Result<usize, Excess> {
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or(Excess::Protocol)
}
