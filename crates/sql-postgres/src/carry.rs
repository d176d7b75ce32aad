//! The talk over a socket, within its time; and the word that stops a query whose asker is gone.

use std::sync::Arc;
use std::time::Duration;

use net::client::Socket;
use net::{Origin, Trust};
use policy::Clearance;
use runtime::TaskKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::talk::{Key, Talk};
use crate::{Answer, Error, Question};

/// The request for TLS, as the protocol has it: a length and a number of its own.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// By ALPN: a server of version 17 and later refuses every other name.
const ALPN: &[u8] = b"postgresql";
/// What the word to stop may take.
const CANCEL_WITHIN: Duration = Duration::from_secs(2);

/// Asks a server one question. Dropped before its end, it tells the server to stop.
///
/// # Errors
/// Every variant of [`Error`].
pub async fn ask(clearance: Clearance, origin: &Origin, trust: &Trust, question: &Question<'_>) -> Answer {
    let total = question.limits.total;
    match timeout(total, talked(clearance, origin, trust, question)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Deadline(total.as_millis())),
    }
}

async fn talked(clearance: Clearance, origin: &Origin, trust: &Trust, question: &Question<'_>) -> Answer {
    let clearance = Arc::new(clearance);
    let connect = question.limits.connect;
    let mut socket = timeout(connect, open(&clearance, origin, trust))
        .await
        .map_err(|_| Error::Deadline(connect.as_millis()))??;
    let mut running = Running { key: None, clearance, origin: origin.clone(), trust: trust.clone() };
    let mut talk = Talk::new(question, origin.is_tls())?;
    let mut block = vec![0; 16 << 10];
    loop {
        let words = talk.say();
        // Before it is sent: from here on the server may be at work.
        running.key = talk.running();
        socket.write_all(&words).await.map_err(Error::Broken)?;
        let length = socket.read(&mut block).await.map_err(Error::Broken)?;
        if length == 0 {
            return Err(Error::Ended);
        }
        let heard = talk.hear(&block[..length]);
        running.key = talk.running();
        if let Some(table) = heard? {
            // It has been read; whether the farewell arrives is the server's concern.
            let _ = socket.write_all(&talk.say()).await;
            return Ok(table);
        }
    }
}

/// An open connection, encrypted where the origin says so. Exactly one byte is read before: what a
/// stranger adds to it in clear text is never taken for the server's.
async fn open(clearance: &Clearance, origin: &Origin, trust: &Trust) -> Result<Socket, Error> {
    let mut socket = Socket::dial(clearance, origin).await?;
    if !origin.is_tls() {
        return Ok(socket);
    }
    socket.write_all(&TLS_REQUEST).await.map_err(Error::Broken)?;
    let mut word = [0; 1];
    socket.read_exact(&mut word).await.map_err(|_| Error::Ended)?;
    match word[0] {
        b'S' => Ok(socket.secure(origin, trust, ALPN).await?),
        b'N' => Err(Error::NoTls),
        _ => Err(Error::Protocol("it does not answer as a PostgreSQL server does".into())),
    }
}

/// A query that may be running at the server.
struct Running {
    key: Option<Key>,
    clearance: Arc<Clearance>,
    origin: Origin,
    trust: Trust,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (clearance, origin, trust) =
            (Arc::clone(&self.clearance), self.origin.clone(), self.trust.clone());
        // Nobody waits for it: the server knows the statement's time by itself.
        runtime::spawn(TaskKind::Ignore, "stop a query", async move {
            let told = async {
                let mut socket = open(&clearance, &origin, &trust).await?;
                socket.write_all(&key.cancel()).await.map_err(Error::Broken)?;
                // The server closes once it has passed it on.
                let _ = socket.read(&mut [0; 1]).await;
                Ok::<(), Error>(())
            };
            let _ = timeout(CANCEL_WITHIN, told).await;
        });
    }
}
