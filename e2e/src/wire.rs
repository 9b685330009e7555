//! A small HTTP/1.1 client: one connection, kept alive, for tests that need to see every byte.

use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest answer, in bytes: far above any certificate.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A submission of a request in DER, with everything that HTTP wants around it.
pub fn submission(address: SocketAddr, token: &str, request: &[u8]) -> Vec<u8> {
    submission_by(address, Some(token), request)
}

/// [`submission`], perhaps without a token.
pub fn submission_by(address: SocketAddr, token: Option<&str>, request: &[u8]) -> Vec<u8> {
    let length = request.len();
    let token = token.map(|it| format!("authorization: Bearer {it}\r\n")).unwrap_or_default();
    let head = format!(
        "POST /v1/requests HTTP/1.1\r\nhost: {address}\r\n{token}\
         content-type: application/pkcs10\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), request].concat()
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

/// The answer that these bytes are, or nothing as long as some are missing.
pub fn parse(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let Some(Head { status, start, length }) = parse_head(bytes)? else { return Ok(None) };
    Ok(bytes[start..].get(..length).map(|body| Answer { status, body: body.to_vec() }))
}

/// What the head of an answer says.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// HTTP status.
    pub status: u16,
    /// Where the body begins.
    pub start: usize,
    /// Bytes of the body.
    pub length: usize,
}

/// The head of the answer that these bytes begin, or nothing as long as some of it is missing.
pub fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| invalid("head"))?;
    let status = head.get(9..12).and_then(|it| it.parse().ok()).ok_or_else(|| invalid("status"))?;
    let length: usize = head
        .lines()
        .filter_map(|it| it.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(|| invalid("content-length"))?;
    if ANSWER_BYTES_MAX < length {
        return Err(invalid("length"));
    }
    Ok(Some(Head { status, start: end + 4, length }))
}

/// One connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    token: String,
}

impl Connection {
    /// Connects with a token that goes with every submission.
    pub fn open(address: SocketAddr, token: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { stream, token: token.to_owned() })
    }

    /// Submits a request and reads the whole answer.
    pub fn submit(&mut self, request: &[u8]) -> io::Result<Answer> {
        let message = submission(self.stream.peer_addr()?, &self.token, request);
        self.stream.write_all(&message)?;
        read_answer(&mut self.stream)
    }
}

/// A connection to the Unix socket in a CA's home, which is let in as its owner.
#[derive(Debug)]
pub struct Local {
    stream: UnixStream,
}

impl Local {
    /// Connects to the server of a home.
    pub fn open(home: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(home.join("exeunt.sock"))?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { stream })
    }

    /// Sends JSON, or nothing where it is empty, and reads the whole answer.
    pub fn ask(&mut self, method: &str, path: &str, json: &str) -> io::Result<Answer> {
        let length = json.len();
        let message = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{json}"
        );
        self.stream.write_all(message.as_bytes())?;
        read_answer(&mut self.stream)
    }
}

fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut buffer = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.extend_from_slice(&chunk[..count]);
        if let Some(answer) = parse(&buffer)? {
            return Ok(answer);
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer's {what} cannot be read"))
}
