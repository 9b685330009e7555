//! Who speaks plain HTTP at a door with TLS is told so, and not left with a broken connection.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fault::Fault;

/// First octet of every connection of TLS: a record with a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;
/// What is read and thrown away of a plain request, in bytes, so that its sender gets to read the answer
/// instead of a reset connection.
const PLAIN_DRAIN_BYTES_MAX: u64 = 64 * 1024;

/// Whether what comes begins as a request of HTTP does: with the letter of a method.
pub(super) async fn is_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [HANDSHAKE];
    stream.peek(&mut first).await?;
    Ok(first[0].is_ascii_alphabetic())
}

/// Says that this door speaks TLS, and closes.
pub(super) async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let problem = Fault::tls_required().problem();
    let body = serde_json::to_vec(&problem).expect("BUG: a problem has text keys");
    let head = format!(
        "HTTP/1.1 400 {}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        problem.title,
        exeunt_api::PROBLEM_MEDIA_TYPE,
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(PLAIN_DRAIN_BYTES_MAX);
    let mut piece = [0; 1024];
    while 0 < rest.read(&mut piece).await? {}
    Ok(())
}
