//! As much of MQTT 3.1.1 as a load needs: one blocking connection on this machine.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Nothing came for so long: nothing will.
const SILENCE: Duration = Duration::from_secs(10);

/// The end that writes.
pub struct Writer {
    stream: TcpStream,
    out: Vec<u8>,
}

/// The end that reads.
pub struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// What came.
pub enum Packet<'a> {
    Message { number: Option<u16>, payload: &'a [u8] },
    Acknowledged,
    Other,
}

/// Connects with a session that ends with the connection.
pub fn connect(port: u16, id: &str) -> io::Result<(Writer, Reader)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let mut body = Vec::new();
    put_text(&mut body, "MQTT");
    // Version 4, clean session, no keep-alive.
    body.extend_from_slice(&[4, 2, 0, 0]);
    put_text(&mut body, id);
    let mut packet = vec![0x10];
    put_length(&mut packet, body.len());
    packet.extend_from_slice(&body);
    stream.write_all(&packet)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    if answer[3] != 0 {
        return Err(io::Error::other("the broker does not take the load's client"));
    }
    let writer = Writer { stream: stream.try_clone()?, out: Vec::with_capacity(1 << 16) };
    Ok((writer, Reader { stream, buffer: vec![0; 1 << 18], filled: 0 }))
}

impl Writer {
    pub fn subscribe(&mut self, filter: &str, qos: u8) -> io::Result<()> {
        let mut body = vec![0, 1];
        put_text(&mut body, filter);
        body.push(qos);
        self.out.push(0x82);
        put_length(&mut self.out, body.len());
        self.out.extend_from_slice(&body);
        self.flush()
    }

    /// Puts a message behind what waits.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, number: u16) {
        self.out.push(0x30 | (qos << 1));
        let numbered = usize::from(qos > 0) * 2;
        put_length(&mut self.out, 2 + topic.len() + numbered + payload.len());
        put_text(&mut self.out, topic);
        if qos > 0 {
            self.out.extend_from_slice(&number.to_be_bytes());
        }
        self.out.extend_from_slice(payload);
    }

    pub fn acknowledge(&mut self, number: u16) {
        let [high, low] = number.to_be_bytes();
        self.out.extend_from_slice(&[0x40, 2, high, low]);
    }

    /// How many bytes wait.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }
}

impl Reader {
    /// Reads once, and gives all packets that are whole.
    ///
    /// # Errors
    /// The connection ended, or nothing came for ten seconds.
    pub fn read(&mut self, mut packet: impl FnMut(Packet<'_>)) -> io::Result<()> {
        let read = self.stream.read(&mut self.buffer[self.filled..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += read;
        let mut rest = &self.buffer[..self.filled];
        while let Some((kind, body, behind)) = split(rest) {
            packet(understand(kind, body));
            rest = behind;
        }
        let (from, left) = (self.filled - rest.len(), rest.len());
        self.buffer.copy_within(from..self.filled, 0);
        self.filled = left;
        Ok(())
    }
}

/// The first packet: its first byte, what it holds, and what follows.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, mut rest) = bytes.split_first()?;
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let (&byte, behind) = rest.split_first()?;
        rest = behind;
        length |= usize::from(byte & 127) << shift;
        if byte < 128 {
            break;
        }
    }
    let (body, behind) = rest.split_at_checked(length)?;
    Some((kind, body, behind))
}

fn understand(kind: u8, body: &[u8]) -> Packet<'_> {
    match kind >> 4 {
        3 => {
            let rest = &body[2 + usize::from(u16::from_be_bytes([body[0], body[1]]))..];
            if kind & 6 == 0 {
                return Packet::Message { number: None, payload: rest };
            }
            let number = u16::from_be_bytes([rest[0], rest[1]]);
            Packet::Message { number: Some(number), payload: &rest[2..] }
        }
        4 => Packet::Acknowledged,
        _ => Packet::Other,
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 127 {
        out.push(length as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
}
