//! Accepts connections and completes their TLS handshakes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::CertificateError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::{Peer, PeerCertificate, ServerTls};

/// A TLS handshake that takes longer is aborted.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Concurrent handshakes; further connections wait in the queue of the kernel.
const HANDSHAKES: usize = 512;
/// Between two attempts while the operating system accepts no connection.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection whose handshake failed because of the client's certificate.
#[derive(Debug, Clone)]
pub struct RejectedConnection {
    /// The address of the client.
    pub address: SocketAddr,
    /// What is wrong with the certificate.
    pub problem: String,
}

/// A connection with a known peer.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
}

/// Accepts connections until `stop` and completes many handshakes concurrently. At `stop` the
/// listener closes, so that callers connect to another replica. `refused` is called for each
/// client whose certificate is not valid; a client that only connects and closes is ignored.
pub fn incoming(
    listener: TcpListener,
    tls: ServerTls,
    stop: CancellationToken,
    refused: impl Fn(RejectedConnection) + Send + Sync + 'static,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(1);
    let permits = Arc::new(Semaphore::new(HANDSHAKES));
    let refused = Arc::new(refused);
    tokio::spawn(async move {
        while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
            let accepted = tokio::select! {
                () = ready.closed() => return,
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or the client closed the connection already.
                    tracing::debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let (ready, tls, refused) = (ready.clone(), tls.clone(), Arc::clone(&refused));
            tokio::spawn(async move {
                match handshake(stream, address, &tls).await {
                    Ok(connection) => {
                        drop(permit);
                        // Fails only if the server has ended.
                        let _ = ready.send(Ok(connection)).await;
                    }
                    Err(error) => {
                        if let Some(problem) = certificate_problem(&error) {
                            refused(RejectedConnection { address, problem });
                        } else {
                            tracing::debug!(%address, %error, "a handshake failed");
                        }
                    }
                }
            });
        }
    });
    ReceiverStream::new(connections)
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    tls: &ServerTls,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let acceptor = TlsAcceptor::from(tls.current());
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let (_, session) = stream.get_ref();
    let certificate = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|leaf| Arc::new(PeerCertificate::read(leaf)));
    let peer = Peer {
        address,
        certificate,
    };
    Ok(Connection { stream, peer })
}

/// What is wrong with the client's certificate, if the handshake failed because of it.
fn certificate_problem(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    match error {
        rustls::Error::NoCertificatesPresented => Some("no certificate".to_owned()),
        rustls::Error::InvalidCertificate(problem) => Some(match problem {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "an expired certificate".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "a certificate that is not valid yet".to_owned()
            }
            // A bad signature is that of an authority with the same name and another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "a certificate of another authority".to_owned()
            }
            other => format!("a certificate that is not valid: {other}"),
        }),
        _ => None,
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
