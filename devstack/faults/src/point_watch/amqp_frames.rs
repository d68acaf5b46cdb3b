//! Reads the AMQP frames of one direction of a connection from the bytes that pass.

use std::mem;

use amq_protocol::frame::{AMQPFrame, parse_frame};

/// Reads frames. Bytes that are no AMQP are not read, and neither is what follows them.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    /// What is not read yet: less than a frame.
    rest: Vec<u8>,
    is_unreadable: bool,
}

impl FrameReader {
    /// Returns the frames that are complete with these bytes.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<AMQPFrame> {
        let mut frames = Vec::new();
        if self.is_unreadable {
            return frames;
        }
        self.rest.extend_from_slice(bytes);
        let all = mem::take(&mut self.rest);
        let mut rest = all.as_slice();
        loop {
            match parse_frame(rest) {
                Ok((after, frame)) => {
                    frames.push(frame);
                    rest = after;
                }
                Err(error) => {
                    self.is_unreadable = !error.is_incomplete();
                    break;
                }
            }
        }
        if !self.is_unreadable {
            self.rest = rest.to_vec();
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::{AMQPClass, basic};
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, channel: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [kind, 0, channel];
        [head.as_slice(), &length, payload, &[0xce]].concat()
    }

    /// The protocol header, a publish to `e` with the key `key`, its content, a heartbeat, and a
    /// confirm.
    fn bytes() -> Vec<u8> {
        [
            b"AMQP\0\0\x09\x01".to_vec(),
            frame(1, 5, b"\0\x3c\0\x28\0\0\x01e\x03key\x01"),
            frame(2, 5, b"\0\x3c\0\0\0\0\0\0\0\0\0\x04\0\0"),
            frame(3, 5, b"\xce\xce\0\x01"),
            frame(8, 0, b""),
            frame(1, 5, b"\0\x3c\0\x50\0\0\0\0\0\0\0\x07\0"),
        ]
        .concat()
    }

    fn read(lengths: &[usize]) -> Vec<AMQPFrame> {
        let all = bytes();
        let mut rest = all.as_slice();
        let mut lengths = lengths.iter().cycle();
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let length = (*lengths.next().unwrap()).min(rest.len());
            let (piece, after) = rest.split_at(length);
            frames.extend(reader.read(piece));
            rest = after;
        }
        frames
    }

    #[test]
    fn frames_are_read() {
        let frames = read(&[usize::MAX]);
        assert_eq!(frames.len(), 6);
        let AMQPFrame::Method(5, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))) =
            &frames[1]
        else {
            panic!("{:?}", frames[1]);
        };
        assert_eq!(publish.exchange.as_str(), "e");
        assert_eq!(publish.routing_key.as_str(), "key");
        assert_eq!(frames[3], AMQPFrame::Body(5, b"\xce\xce\0\x01".to_vec()));
        let AMQPFrame::Method(5, AMQPClass::Basic(basic::AMQPMethod::Ack(ack))) = &frames[5] else {
            panic!("{:?}", frames[5]);
        };
        assert_eq!(ack.delivery_tag, 7);
    }

    #[test]
    fn nothing_is_read_after_bytes_that_are_no_frame() {
        let mut reader = FrameReader::default();
        assert_eq!(reader.read(b"HTTP/1.1"), []);
        assert_eq!(reader.read(&bytes()), []);
    }

    proptest! {
        #[test]
        fn frames_may_be_split_at_any_byte(lengths in prop::collection::vec(1_usize..30, 1..20)) {
            prop_assert_eq!(read(&lengths), read(&[usize::MAX]));
        }
    }
}
