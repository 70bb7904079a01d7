//! As little of MQTT 3.1.1 as tests need to talk to a broker, with nothing of the client that is tested.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What a broker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
pub(super) struct Client {
    stream: TcpStream,
    came: BufReader<TcpStream>,
    number: u16,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// A message; its number is 0 with QoS 0.
    Message { topic: String, payload: Vec<u8>, number: u16 },
    /// A message with QoS 1 or 2 was taken.
    Taken(u16),
    /// Filters were granted, or refused (0x80).
    Granted(Vec<u8>),
    /// Anything else, by the first byte of its header.
    Other(u8),
}

impl Client {
    /// Connects with a session that ends with the connection.
    pub(super) fn connect(port: u16, id: &str) -> io::Result<Client> {
        Client::connect_with(port, id, true)
    }

    /// Connects with a session of its own that the broker keeps.
    pub(super) fn resume(port: u16, id: &str) -> io::Result<Client> {
        Client::connect_with(port, id, false)
    }

    fn connect_with(port: u16, id: &str, clean: bool) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let came = BufReader::with_capacity(1 << 16, stream.try_clone()?);
        let mut client = Client { stream, came, number: 0 };
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, u8::from(clean) << 1, 0, 0];
        text(&mut body, id);
        client.stream.write_all(&packet(0x10, &body))?;
        match read_packet(&mut client.came)? {
            (0x20, answer) if answer.get(1) == Some(&0) => Ok(client),
            answer => Err(io::Error::other(format!("refused: {answer:?}"))),
        }
    }

    /// Writes a message, to be sent together with others by [`Client::send`]. The number by which it is acknowledged.
    pub(super) fn compose(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: u8,
        into: &mut Vec<u8>,
    ) -> u16 {
        self.number = self.number.checked_add(1).unwrap_or(1);
        let mut body = Vec::with_capacity(4 + topic.len() + payload.len());
        text(&mut body, topic);
        if qos > 0 {
            body.extend(self.number.to_be_bytes());
        }
        body.extend(payload);
        into.extend(packet(0x30 | qos << 1, &body));
        self.number
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Publishes with QoS 1 and waits until the broker has it.
    pub(super) fn say(&mut self, topic: &str, payload: &[u8]) -> io::Result<()> {
        let mut message = Vec::new();
        let number = self.compose(topic, payload, 1, &mut message);
        self.send(&message)?;
        while self.next()? != Packet::Taken(number) {}
        Ok(())
    }

    /// Subscribes with this QoS and waits until that is granted.
    pub(super) fn subscribe(&mut self, filter: &str, qos: u8) -> io::Result<()> {
        self.ask(filter, qos)?;
        loop {
            if let Packet::Granted(granted) = self.next()? {
                assert_eq!(granted, [qos], "`{filter}`");
                return Ok(());
            }
        }
    }

    /// Subscribes with this QoS.
    pub(super) fn ask(&mut self, filter: &str, qos: u8) -> io::Result<()> {
        self.number = self.number.checked_add(1).unwrap_or(1);
        let mut body = self.number.to_be_bytes().to_vec();
        text(&mut body, filter);
        body.push(qos);
        self.stream.write_all(&packet(0x82, &body))
    }

    /// What comes next. Messages are acknowledged.
    pub(super) fn next(&mut self) -> io::Result<Packet> {
        let (head, body) = read_packet(&mut self.came)?;
        let cut = || io::Error::from(io::ErrorKind::InvalidData);
        let number = |at: usize| {
            let bytes = body.get(at..at + 2).and_then(|two| two.try_into().ok());
            bytes.map(u16::from_be_bytes).ok_or_else(cut)
        };
        match head & 0xf0 {
            0x30 => {
                let length = usize::from(number(0)?);
                let topic = body.get(2..2 + length).ok_or_else(cut)?;
                let topic = String::from_utf8(topic.to_vec()).map_err(|_| cut())?;
                let qos = head >> 1 & 3;
                let (number, rest) = match qos {
                    0 => (0, 2 + length),
                    _ => (number(2 + length)?, 4 + length),
                };
                if qos == 1 {
                    self.stream.write_all(&packet(0x40, &number.to_be_bytes()))?;
                }
                let payload = body.get(rest..).ok_or_else(cut)?.to_vec();
                Ok(Packet::Message { topic, payload, number })
            }
            0x50 => {
                self.stream.write_all(&packet(0x62, &number(0)?.to_be_bytes()))?;
                Ok(Packet::Other(head))
            }
            0x40 | 0x70 => Ok(Packet::Taken(number(0)?)),
            0x90 => Ok(Packet::Granted(body.get(2..).ok_or_else(cut)?.to_vec())),
            _ => Ok(Packet::Other(head)),
        }
    }
}

/// The next packet: the first byte of its header, and what comes behind its length.
pub(super) fn read_packet(from: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    let head = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        from.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok((head, body))
}

/// A packet with its length.
pub(super) fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![head];
    let mut length = body.len();
    loop {
        let (byte, rest) = ((length % 128) as u8, length / 128);
        packet.push(if rest > 0 { byte | 0x80 } else { byte });
        length = rest;
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// A text with its length.
fn text(body: &mut Vec<u8>, text: &str) {
    body.extend(u16::try_from(text.len()).expect("a short text").to_be_bytes());
    body.extend(text.as_bytes());
}
