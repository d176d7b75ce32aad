//! From an origin to an open connection: resolve once, check, connect to that address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{Origin, Reach, is_public};
use crate::{Error, Trust};

/// A connected stream.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects to the first address of the origin that answers.
///
/// The name is resolved here and nowhere else, and the socket goes to the
/// address that was checked: a name that changes its mind between check and
/// connect (DNS rebinding) gains nothing.
pub(super) async fn open(origin: &Origin, trust: &Trust) -> Result<Stream, Error> {
    let tcp = reach(origin).await?;
    if origin.is_tls() { secure(origin, trust, None, tcp).await } else { Ok(Stream::Plain(tcp)) }
}

/// A TCP connection to the origin.
pub(super) async fn reach(origin: &Origin) -> Result<TcpStream, Error> {
    let tcp = connect(origin, &resolve(origin).await?).await?;
    // Small requests must not wait for the acknowledgement of the one before.
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
}

/// TLS over it, with the origin's host as the name that is verified; `protocol`: of ALPN, where it is
/// not HTTP's.
pub(super) async fn secure(
    origin: &Origin,
    trust: &Trust,
    protocol: Option<&[u8]>,
    tcp: TcpStream,
) -> Result<Stream, Error> {
    let failed = |why: String| Error::Tls { host: origin.host().to_owned(), why };
    let name = ServerName::try_from(origin.host().to_owned()).map_err(|e| failed(e.to_string()))?;
    let connector = trust.connector(protocol).map_err(failed)?;
    let tls = connector.connect(name, tcp).await.map_err(|e| failed(e.to_string()))?;
    Ok(Stream::Tls(Box::new(tls)))
}

async fn resolve(origin: &Origin) -> Result<Vec<SocketAddr>, Error> {
    let (host, port) = (origin.host(), origin.port());
    let failed = |source| Error::Resolve { host: host.to_owned(), source };
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![(address, port).into()],
        Err(_) => tokio::net::lookup_host((host, port)).await.map_err(failed)?.collect(),
    };
    // One private address among public ones condemns the name: an honest one has none.
    if origin.reach() == Reach::Public
        && let Some(private) = found.iter().find(|address| !is_public(address.ip()))
    {
        return Err(Error::Private { host: host.to_owned(), address: private.ip() });
    }
    if found.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(found)
}

async fn connect(origin: &Origin, addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    let source = last.unwrap_or_else(|| io::ErrorKind::NotFound.into());
    Err(Error::Connect { host: origin.to_string(), source })
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }
    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
