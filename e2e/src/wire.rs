//! A small HTTP/1.1 client for load: one connection, kept alive, no more work than needed, so that
//! the generator leaves the cores to the server that it measures.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest answer, in bytes: far above any certificate.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// One connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    head: Vec<u8>,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects with a token that goes with every submission.
    pub fn open(address: SocketAddr, token: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let head = format!(
            "POST /v1/requests HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/pkcs10\r\ncontent-length: "
        );
        Ok(Self { stream, head: head.into_bytes(), buffer: Vec::new() })
    }

    /// Submits a request and reads the whole answer.
    pub fn submit(&mut self, request: &[u8]) -> io::Result<Answer> {
        let mut message = Vec::with_capacity(self.head.len() + request.len() + 16);
        message.extend_from_slice(&self.head);
        write!(message, "{}\r\n\r\n", request.len())?;
        message.extend_from_slice(request);
        self.stream.write_all(&message)?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Answer> {
        self.buffer.clear();
        let head_end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more()?;
        };
        let head = std::str::from_utf8(&self.buffer[..head_end]).map_err(|_| invalid("head"))?;
        let status =
            head.get(9..12).and_then(|it| it.parse().ok()).ok_or_else(|| invalid("status"))?;
        let length: usize = head
            .lines()
            .filter_map(|it| it.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())
            .ok_or_else(|| invalid("content-length"))?;
        while self.buffer.len() < head_end + length {
            self.read_more()?;
        }
        Ok(Answer { status, body: self.buffer[head_end..head_end + length].to_vec() })
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut chunk = [0; 8192];
        let count = self.stream.read(&mut chunk)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if ANSWER_BYTES_MAX < self.buffer.len() + count {
            return Err(invalid("length"));
        }
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(())
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|it| it == needle)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer's {what} cannot be read"))
}
