//! A server that answers everything with the same octets: what HTTP costs where nothing is behind it.
//! `cargo xtask bench ocsp` compares with it. Argument: octets of an answer's body.
//!
//! Connections are served as the edge serves them: the same library, as many threads, the body of a
//! request read to its end.

use std::convert::Infallible;
use std::error::Error;
use std::num::NonZero;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

/// As in a fresh configuration.
const READ: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    let octets: usize = std::env::args().nth(1).ok_or("how many octets?")?.parse()?;
    let body = Bytes::from(vec![b'x'; octets]);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(2))
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream, body.clone()));
        }
    })
}

async fn serve(stream: TcpStream, body: Bytes) {
    let service = service_fn(|request| {
        let body = body.clone();
        async move { Ok::<_, Infallible>(answer(request, body).await) }
    });
    // A client that goes away ends its connection, and that is all.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: hyper::Request<Incoming>, body: Bytes) -> Response<Full<Bytes>> {
    // What cannot be read to its end breaks the connection off.
    let _ = request.into_body().collect().await;
    let mut answer = Response::new(Full::new(body));
    let media_type = HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer
}
