//! One try to connect, of which nothing stays where it comes to nothing.
//!
//! lapin's own connecting keeps a task for every server that is not there, and a
//! thread for every one that takes the connection and says nothing, until the
//! process ends. So TCP and TLS are done before lapin hears of it, and the socket
//! of a hand-shake that nobody waits for any more is shut, which ends its thread.

use std::io;
use std::net::{Shutdown, TcpStream as Socket};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use lapin::tcp::{AsyncTcpStream, TLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, Error, ErrorKind};

/// Connects; dropped before it is done, it hangs up.
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
    let hang_up = match &stream {
        AsyncTcpStream::Plain(plain) => HangUp::of(plain.get_ref()).map_err(failed)?,
        _ => HangUp(None),
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
    hang_up.no_more();
    Ok(connection)
}

fn failed(error: io::Error) -> Error {
    ErrorKind::IOError(error.into()).into()
}

/// Shuts the socket when it is dropped.
struct HangUp(Option<Socket>);

impl HangUp {
    fn of(stream: &impl AsFd) -> io::Result<Self> {
        let again = stream.as_fd().try_clone_to_owned()?;
        Ok(Self(Some(Socket::from(again))))
    }

    fn no_more(mut self) {
        self.0 = None;
    }
}

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            // It may be shut already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
