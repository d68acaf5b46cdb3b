//! A minimal HTTP client that can send malformed requests.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::mutate::{Generator, ValidRequest, request};

/// Longer than the request timeout of the service.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Sends `count` requests and returns the number of responses by status. Status 0 stands for
/// a connection that was closed without a response.
pub async fn send_requests(
    address: String,
    sample: ValidRequest,
    mut random: Generator,
    count: usize,
) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    let mut connection = None;
    for _ in 0..count {
        let bytes = request(&mut random, &sample);
        let mut used = connection.is_some();
        let (status, alive, stream) = loop {
            let mut stream = match connection.take() {
                Some(stream) => stream,
                None => TcpStream::connect(&address).await.unwrap(),
            };
            let response = tokio::time::timeout(TIMEOUT, exchange(&mut stream, &bytes)).await;
            let (status, alive) = response.unwrap_or_else(|_| {
                panic!("no response to {:?}", String::from_utf8_lossy(&bytes));
            });
            // The server may have closed a reused connection.
            if status == 0 && std::mem::take(&mut used) {
                continue;
            }
            break (status, alive, stream);
        };
        if status >= 500 {
            println!("{status}: {:?}", String::from_utf8_lossy(&bytes));
        }
        *statuses.entry(status).or_default() += 1;
        connection = alive.then_some(stream);
    }
    statuses
}

/// Returns the status and whether the connection can be reused.
async fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> (u16, bool) {
    // The server may refuse the request and close the connection before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut response = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        if let Some(end) = response.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&response[..end]).to_ascii_lowercase();
            let status: u16 = head
                .split(' ')
                .nth(1)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            if status == 100 {
                response.drain(..end + 4);
                continue;
            }
            // Only responses with a known length leave the connection in a known state.
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .and_then(|text| text.parse::<usize>().ok());
            let whole = match length {
                Some(length) if !bytes.starts_with(b"HEAD") => end + 4 + length,
                _ => return (status, false),
            };
            if response.len() >= whole {
                let plain = !head.contains("connection: close") && response.len() == whole;
                return (status, plain);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return (0, false),
            Ok(read) => response.extend_from_slice(&buffer[..read]),
        }
    }
}
