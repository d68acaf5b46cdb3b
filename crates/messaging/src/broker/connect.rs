//! One attempt to connect that leaves nothing behind if it fails.
//!
//! lapin's own connecting keeps a task for every server that cannot be reached, and a thread
//! for every server that accepts the connection and sends nothing, until the process ends.
//! Therefore TCP and TLS are set up before lapin gets the stream, and the socket of a
//! handshake that is given up is closed, which ends its thread.

use std::io;
use std::net::{Shutdown, TcpStream as Socket};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use lapin::tcp::{AsyncTcpStream, TLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, Error, ErrorKind};

/// Connects. If the future is dropped before it is ready, the socket is closed.
pub(super) async fn connect(
    uri: AMQPUri,
    properties: ConnectionProperties,
) -> Result<Connection, Error> {
    let runtime = lapin::runtime::default_runtime()?;
    let address = (uri.authority.host.clone(), uri.authority.port);
    let address = runtime.to_socket_addrs(address);
    let stream = AsyncTcpStream::connect(&runtime, address)
        .await
        .map_err(failed)?;
    let close_on_drop = match &stream {
        AsyncTcpStream::Plain(plain) => CloseOnDrop::of(plain.get_ref()).map_err(failed)?,
        _ => CloseOnDrop(None),
    };
    let stream = match uri.scheme {
        AMQPScheme::AMQP => stream,
        AMQPScheme::AMQPS => stream
            .into_tls(&uri.authority.host, TLSConfig::default())
            .await
            .map_err(failed)?,
    };
    let once = Mutex::new(Some(stream));
    let connector = async move |_, _| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        stream.ok_or_else(|| failed(io::ErrorKind::ConnectionAborted.into()))
    };
    let connection = Connection::connector(uri, runtime, connector, properties).await?;
    close_on_drop.disarm();
    Ok(connection)
}

fn failed(error: io::Error) -> Error {
    ErrorKind::IOError(error.into()).into()
}

/// Closes the socket when it is dropped.
struct CloseOnDrop(Option<Socket>);

impl CloseOnDrop {
    fn of(stream: &impl AsFd) -> io::Result<Self> {
        let again = stream.as_fd().try_clone_to_owned()?;
        Ok(Self(Some(Socket::from(again))))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            // The socket may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
