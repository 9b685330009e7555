//! The way to a server, with TLS where it is spoken, as the library of AMQP wants it.
//!
//! The library is built without its own TLS, so that there is one way in which this program trusts: it
//! is handed a stream that is connected already.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    os::fd::AsFd as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_rs::{Runtime, Tokio, traits::Reactor, util::RuntimeParts};
use exeunt_publication::resolver::{ADDRESSES_MAX, first};
use futures_util::{
    Stream,
    io::{AsyncRead, AsyncWrite},
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead as TokioRead, AsyncWrite as TokioWrite, ReadBuf},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    amqp::settings::Server,
    settings::{Settings, TlsMode},
};

/// A connected socket, with or without TLS.
#[derive(Debug)]
pub enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Ends a connection whatever the library is at: dropped, it closes the socket. The library's thread
/// sees its end then, and ends.
#[derive(Debug)]
pub struct Plug(std::net::TcpStream);

impl Drop for Plug {
    fn drop(&mut self) {
        // It fails where it is closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Socket {
    /// Connects to a server until that moment, and speaks TLS with it where it is on.
    ///
    /// # Errors
    ///
    /// One line for the operator.
    pub async fn connect(
        settings: &Settings,
        server: &Server,
        until: Instant,
    ) -> Result<(Self, Plug), String> {
        let said = |err: io::Error| err.to_string();
        let found = lookup_host((server.host.as_str(), server.port)).await.map_err(said)?;
        let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
        let stream = first(&addresses, until, tcp).await?;
        stream.set_nodelay(true).map_err(said)?;
        let plug = stream.as_fd().try_clone_to_owned().map_err(said)?;
        let plug = Plug(std::net::TcpStream::from(plug));
        if settings.tls_mode == TlsMode::Off {
            return Ok((Self::Plain(stream), plug));
        }
        let name = ServerName::try_from(server.host.clone())
            .map_err(|_| format!("{:?} is no name of a server", server.host))?;
        let connector = TlsConnector::from(Arc::new(settings.tls.client_config()?));
        let stream = connector.connect(name, stream).await.map_err(said)?;
        Ok((Self::Tls(Box::new(stream)), plug))
    }
}

/// A connection to one address.
async fn tcp(address: SocketAddr, within: Duration) -> Result<TcpStream, String> {
    let connected = timeout(within, TcpStream::connect(address)).await;
    connected.map_err(|_| "no answer in time".to_owned())?.map_err(|err| err.to_string())
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut octets = ReadBuf::new(octets);
        let polled = match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, &mut octets),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, &mut octets),
        };
        polled.map_ok(|()| octets.filled().len())
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// What the library waits with, whose streams are [`Socket`]s. It connects nothing by itself.
#[derive(Clone, Debug)]
pub struct Clock(Tokio);

/// What the library runs on.
pub type Kit = RuntimeParts<Tokio, Clock>;

/// The runtime that this is called on, for the library.
pub fn runtime() -> Runtime<Kit> {
    Runtime::new(RuntimeParts::new(Tokio::current(), Clock(Tokio::current())))
}

fn not_here() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "connections are made elsewhere")
}

impl Reactor for Clock {
    type TcpStream = Socket;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Socket, _>(not_here())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Socket>> + Send + 'static {
        std::future::ready(Err(not_here()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_testbed::silent::Silent;
    use std::net::TcpListener;

    #[test]
    fn an_address_that_is_silent_leaves_time_for_the_next_one() {
        let (silent, good) = (Silent::start(), TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [silent.address(), good.local_addr().unwrap()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let until = Instant::now() + Duration::from_secs(2);
        let stream = runtime.block_on(first(&addresses, until, tcp)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
    }
}
