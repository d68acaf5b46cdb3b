//! A port mapper of Erlang for one node of a cluster, in front of the real one (epmd). It answers
//! with other ports for some nodes, so that the node connects to them through proxies.
//!
//! The protocol: a request is its length in two bytes and its text, which begins with a letter. To
//! `z` and a name, the answer is `w`, a byte that is 0 if the node is known, its port in two
//! bytes, and more that does not matter here. To `n`, the answer is the port of the port mapper in
//! four bytes, which the node compares with the one that it asked, and a text. Then the connection
//! ends (Erlang, "Distribution Protocol").

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::ServerError;

/// Asks for the port of a node.
const PORT_PLEASE: u8 = b'z';
/// Asks for the names of all nodes.
const NAMES: u8 = b'n';
/// Place of the port of a node in an answer.
const NODE_PORT: Range<usize> = 2..4;
/// Place of the port of the port mapper in an answer.
const OWN_PORT: Range<usize> = 0..4;

/// Ports by the name of the node.
type Routes = Arc<Mutex<BTreeMap<String, u16>>>;

/// A port mapper on a port of 127.0.0.1. It accepts no more connections after it is dropped.
#[derive(Debug)]
pub(crate) struct PortMapper {
    address: SocketAddr,
    routes: Routes,
    accepting: JoinHandle<()>,
}

impl PortMapper {
    /// Starts a port mapper in front of the real one on a port.
    ///
    /// # Errors
    /// No port can be bound.
    pub(crate) async fn start(epmd: u16) -> Result<Self, ServerError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(ServerError::file("127.0.0.1"))?;
        let address = listener.local_addr();
        let address = address.map_err(ServerError::file("127.0.0.1"))?;
        let routes = Routes::default();
        let accepting = tokio::spawn(accept(listener, epmd, Arc::clone(&routes)));
        Ok(Self {
            address,
            routes,
            accepting,
        })
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Answers with this port for a node, whose name is without that of the host.
    pub(crate) fn route(&self, node: String, port: u16) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.insert(node, port);
    }
}

impl Drop for PortMapper {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, epmd: u16, routes: Routes) {
    let own = listener.local_addr().map_or(0, |address| address.port());
    while let Ok((client, _)) = listener.accept().await {
        let routes = Arc::clone(&routes);
        tokio::spawn(async move {
            // A node that is gone needs no answer.
            let _ = serve(client, epmd, own, &routes).await;
        });
    }
}

async fn serve(mut client: TcpStream, epmd: u16, own: u16, routes: &Routes) -> io::Result<()> {
    let length = client.read_u16().await?;
    let mut request = vec![0; length.into()];
    client.read_exact(&mut request).await?;
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, epmd)).await?;
    server.write_u16(length).await?;
    server.write_all(&request).await?;
    let (kind, name) = request.split_first().unwrap_or((&0, &[]));
    if ![PORT_PLEASE, NAMES].contains(kind) {
        // A node that registers stays connected as long as it runs.
        copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    if *kind == NAMES {
        if let Some(port) = answer.get_mut(OWN_PORT) {
            port.copy_from_slice(&u32::from(own).to_be_bytes());
        }
    } else if let Some(route) = route_to(name, routes)
        // An answer that the node is unknown has no port.
        && let Some(port) = answer.get_mut(NODE_PORT)
    {
        port.copy_from_slice(&route.to_be_bytes());
    }
    client.write_all(&answer).await
}

fn route_to(name: &[u8], routes: &Routes) -> Option<u16> {
    let name = std::str::from_utf8(name).ok()?;
    let routes = routes.lock().unwrap_or_else(PoisonError::into_inner);
    routes.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for the port of a node, and returns the answer.
    async fn ask(port: u16, name: &str) -> Vec<u8> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        let length = u16::try_from(name.len() + 1).unwrap();
        connection.write_u16(length).await.unwrap();
        connection.write_u8(PORT_PLEASE).await.unwrap();
        connection.write_all(name.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_node_with_a_route_has_its_port_and_another_one_has_its_own() {
        let epmd = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let real = epmd.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut asking, _)) = epmd.accept().await {
                let length = asking.read_u16().await.unwrap();
                let mut request = vec![0; length.into()];
                asking.read_exact(&mut request).await.unwrap();
                asking.write_all(&[b'w', 0, 1, 2, 77]).await.unwrap();
            }
        });
        let mapper = PortMapper::start(real).await.unwrap();
        mapper.route("other".to_owned(), 0x0a0b);
        assert_eq!(ask(mapper.port(), "other").await, [b'w', 0, 0x0a, 0x0b, 77]);
        assert_eq!(ask(mapper.port(), "own").await, [b'w', 0, 1, 2, 77]);
    }
}
