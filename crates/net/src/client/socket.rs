//! Connections for protocols that are not HTTP: opened by the same rule, spoken over by another crate.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use policy::Clearance;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Origin;
use super::connect::{self, Stream};
use crate::{Error, Trust};

/// An open connection. Dropped, it is closed.
pub struct Socket(Stream);

impl Socket {
    /// A connection without encryption yet: a protocol may have something to say before it.
    ///
    /// # Errors
    /// [`Error::NotCleared`], [`Error::Resolve`], [`Error::Private`] and [`Error::Connect`].
    pub async fn dial(clearance: &Clearance, origin: &Origin) -> Result<Socket, Error> {
        if !clearance.opens(origin.name()) {
            return Err(Error::NotCleared { origin: origin.to_string() });
        }
        connect::reach(origin).await.map(|tcp| Socket(Stream::Plain(tcp)))
    }

    /// The same connection under TLS, once its server has shown a certificate for the origin's host.
    /// `protocol` is what ALPN offers.
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub async fn secure(self, origin: &Origin, trust: &Trust, protocol: &[u8]) -> Result<Socket, Error> {
        match self.0 {
            Stream::Plain(tcp) => connect::secure(origin, trust, Some(protocol), tcp).await.map(Socket),
            Stream::Tls(_) => {
                Err(Error::Tls { host: origin.host().to_owned(), why: "it is encrypted already".into() })
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
