//! One connection: HTTP/1.1 over whatever carries it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use crate::answer::problem;
use crate::auth::Peer;
use crate::fault::Fault;
use crate::handler::{Edge, handle};
use crate::refusal::{self, Refused};
use crate::settings::Limits;
use crate::tls::client::Guard;

/// Bytes of a head that are read, so that one that is too long is told so in a problem document. A longer
/// one is answered by the library, with the status alone.
const HEAD_BYTES_READ: usize = 2 * Limits::HEAD_BYTES_MAX;

/// Serves a connection until either side ends it. When `closing` turns true, the request in hand is
/// answered and the connection closed. A `guard` is asked before each request.
pub(crate) async fn serve<I>(
    io: I,
    (peer, guard): (Peer, Option<Guard>),
    edge: Arc<Edge>,
    mut closing: watch::Receiver<bool>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let read = edge.limits.read;
    let peer = Arc::new((peer, guard));
    let service = service_fn(move |request| {
        let (edge, peer) = (Arc::clone(&edge), Arc::clone(&peer));
        async move {
            let (peer, guard) = &*peer;
            if let Some(guard) = guard
                && let Err(fault) = guard.pass(&edge).await
            {
                note(&edge, (peer, guard), &request, &fault).await;
                return Ok(problem(&fault));
            }
            Ok::<_, Infallible>(handle(&edge, peer, request).await)
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(read)
        .max_header_size(HEAD_BYTES_READ)
        .serve_connection(TokioIo::new(io), service);
    let ended = tokio::select! {
        biased;
        result = &mut connection => Some(result),
        () = closed(&mut closing) => None,
    };
    let result = if let Some(result) = ended {
        result
    } else {
        Pin::new(&mut connection).graceful_shutdown();
        (&mut connection).await
    };
    let Err(err) = result else { return };
    tracing::debug!(error = %err, "a connection ended early");
    if err.is_timeout() {
        let parts = connection.into_parts();
        // A connection that was idle is closed in silence; half a head deserves an answer.
        if !parts.read_buf.is_empty() {
            let mut io = parts.io.into_inner();
            // The client may be gone, and there is nobody else to tell.
            let _ = io.write_all(&too_slow()).await;
            let _ = io.shutdown().await;
        }
    }
}

/// Writes into the audit trail whose certificate was not taken.
async fn note(
    edge: &Arc<Edge>,
    (peer, guard): (&Peer, &Guard),
    request: &Request<Incoming>,
    fault: &Fault,
) {
    if fault.is_about_access() {
        let what = format!("{} {}", request.method(), request.uri().path());
        let (who, place, code) = (guard.who(), peer.to_string(), fault.code);
        refusal::note(edge, Refused { who, place, what, code }).await;
    }
}

/// Returns when the server closes.
pub(crate) async fn closed(closing: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is as closed as can be.
    let _ = closing.wait_for(|it| *it).await;
}

/// The answer to a head that did not arrive in time, byte by byte: hyper has given up by then.
fn too_slow() -> Vec<u8> {
    let problem = Fault::too_slow().problem();
    let body = serde_json::to_vec(&problem).expect("BUG: a problem has text keys");
    let mut answer = format!(
        "HTTP/1.1 408 {}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        problem.title,
        exeunt_api::PROBLEM_MEDIA_TYPE,
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    answer
}
