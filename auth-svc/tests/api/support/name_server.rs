use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;

/// A name server on its own port that serves TXT records only.
pub struct NameServer {
    pub address: String,
    records: Arc<Mutex<HashMap<String, Vec<String>>>>,
}

impl NameServer {
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let name_server = Self {
            address: socket.local_addr().unwrap().to_string(),
            records: Arc::default(),
        };
        let records = name_server.records.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let Ok(question) = Message::from_vec(&buffer[..length]) else {
                    continue;
                };
                let response = response(&question, &records.lock().unwrap());
                let _ = socket.send_to(&response.to_vec().unwrap(), from).await;
            }
        });
        name_server
    }

    /// Adds a value to the TXT records of a name.
    pub fn publish(&self, name: &str, value: &str) {
        let mut records = self.records.lock().unwrap();
        records
            .entry(name.to_owned())
            .or_default()
            .push(value.to_owned());
    }
}

fn response(question: &Message, records: &HashMap<String, Vec<String>>) -> Message {
    let mut response = question.clone().into_response();
    response.metadata.message_type = MessageType::Response;
    response.metadata.recursion_available = true;
    let query = question.queries.first().unwrap().clone();
    let name = query.name().to_ascii();
    let values = records.get(name.trim_end_matches('.').to_lowercase().as_str());
    match values {
        Some(values) if query.query_type() == RecordType::TXT => {
            for value in values {
                // In two strings, as long values are split.
                let (one, two) = value.split_at(value.len() / 2);
                let text = TXT::new(vec![one.to_owned(), two.to_owned()]);
                response.add_answer(Record::from_rdata(
                    query.name().clone(),
                    1,
                    RData::TXT(text),
                ));
            }
        }
        _ => response.metadata.response_code = ResponseCode::NXDomain,
    }
    response
}
