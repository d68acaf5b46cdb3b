//! The HTTP server in its own thread.

use std::any::Any;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::{Extensions, ServerHandle};
use actix_web::rt::net::TcpStream;
use actix_web::web::{Data, FormConfig, PayloadConfig, get, post, resource};
use actix_web::{App as ActixApp, HttpServer};
use rustls::ServerConfig;

use crate::app::{App, Socket};
use crate::{authorize, control, discovery, end_session, token};

/// How long a client may take for a TLS handshake and for the head of a request. A busy machine
/// delays both, and the usual 3 s and 5 s would end the connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an idle connection stays open: longer than a client waits before it uses one again, so
/// that no request meets the end of its connection.
const KEEP_ALIVE: Duration = Duration::from_mins(2);

/// A running HTTP server. It stops when it is dropped.
pub(crate) struct RunningServer {
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

/// Stores a second handle of each socket, so that a fault can close it.
fn store_socket(connection: &dyn Any, extensions: &mut Extensions) {
    let stream = match connection.downcast_ref::<TlsStream<TcpStream>>() {
        Some(encrypted) => Some(encrypted.get_ref().0),
        None => connection.downcast_ref::<TcpStream>(),
    };
    let Some(stream) = stream else {
        return;
    };
    if let Ok(socket) = stream.as_fd().try_clone_to_owned() {
        extensions.insert(Socket(socket.into()));
    }
}

impl RunningServer {
    /// Serves on a bound listener, over TLS if `tls` is given.
    pub(crate) fn start(
        app: Arc<App>,
        listener: TcpListener,
        tls: Option<ServerConfig>,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("demo-provider".to_owned())
            .spawn(move || {
                actix_web::rt::System::new().block_on(async move {
                    let server = HttpServer::new(move || {
                        ActixApp::new()
                            .app_data(Data::new(Arc::clone(&app)))
                            .app_data(PayloadConfig::new(256 * 1024))
                            .app_data(FormConfig::default())
                            .configure(control::routes)
                            .configure(routes)
                    })
                    .on_connect(store_socket)
                    .workers(2)
                    .keep_alive(KEEP_ALIVE)
                    .tls_handshake_timeout(PATIENCE)
                    .client_request_timeout(PATIENCE)
                    .disable_signals()
                    .shutdown_timeout(1);
                    let server = match tls {
                        Some(tls) => server.listen_rustls_0_23(listener, tls),
                        None => server.listen(listener),
                    };
                    match server {
                        Ok(server) => {
                            let server = server.run();
                            let _ = sender.send(Ok(server.handle()));
                            let _ = server.await;
                        }
                        Err(error) => {
                            let _ = sender.send(Err(error));
                        }
                    }
                });
            })?;
        let handle = receiver.recv().map_err(std::io::Error::other)??;
        Ok(Self {
            handle,
            thread: Some(thread),
        })
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        // The stop command is sent at once. The future only waits for its confirmation.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Binds a listener and returns it with its address.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn routes(config: &mut actix_web::web::ServiceConfig) {
    let microsoft = "/microsoft/{tenant}";
    config
        .route(
            &format!("{microsoft}/v2.0/.well-known/openid-configuration"),
            get().to(discovery::discovery),
        )
        .route(
            &format!("{microsoft}/discovery/v2.0/keys"),
            get().to(discovery::jwks),
        )
        .route(
            &format!("{microsoft}/oauth2/v2.0/authorize"),
            get().to(authorize::show),
        )
        .route(
            &format!("{microsoft}/oauth2/v2.0/authorize"),
            post().to(authorize::decide),
        )
        .route(
            &format!("{microsoft}/oauth2/v2.0/token"),
            post().to(token::token),
        )
        .route("/graph/{tenant}/userinfo", get().to(token::userinfo))
        .service(
            resource(format!("{microsoft}/oauth2/v2.0/logout"))
                .route(get().to(end_session::end_session))
                .route(post().to(end_session::end_session)),
        );
    let other = "/{flavour:google|oidc}";
    config
        .route(
            &format!("{other}/.well-known/openid-configuration"),
            get().to(discovery::discovery),
        )
        .route(&format!("{other}/jwks"), get().to(discovery::jwks))
        .route(&format!("{other}/authorize"), get().to(authorize::show))
        .route(&format!("{other}/authorize"), post().to(authorize::decide))
        .route("/{flavour:oidc}/par", post().to(token::push_authorization))
        .route(&format!("{other}/token"), post().to(token::token))
        .route(&format!("{other}/revoke"), post().to(token::revoke))
        .route(&format!("{other}/userinfo"), get().to(token::userinfo))
        .service(
            resource("/{flavour:oidc}/end-session")
                .route(get().to(end_session::end_session))
                .route(post().to(end_session::end_session)),
        );
}
