//! A broker that knows only MQTT 3.1.1, as far as one client needs it: whoever subscribes gets a message.

use std::io::{self, BufReader, Write};
use std::net::TcpStream;

use super::client::{packet, read_packet};

/// Answers on a connection until it ends.
pub(super) fn serve(stream: &TcpStream) {
    // It ends when the test does.
    let _ = answer(stream);
}

fn answer(mut stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (head, body) = read_packet(&mut reader)?;
        let number = body.get(..2).unwrap_or_default();
        match head & 0xf0 {
            // The level of the protocol stands behind its name.
            0x10 if body.get(6) != Some(&4) => {
                stream.write_all(&[0x20, 2, 0, 1])?;
                return Ok(());
            }
            0x10 => stream.write_all(&[0x20, 2, 0, 0])?,
            0x80 => {
                stream.write_all(&packet(0x90, &[number, &[1]].concat()))?;
                let message = b"\x00\x04in/1\x00\x012";
                stream.write_all(&packet(0x32, message))?;
            }
            0x30 if head & 6 == 2 => {
                let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                stream.write_all(&packet(0x40, &body[2 + length..4 + length]))?;
            }
            0xc0 => stream.write_all(&[0xd0, 0])?,
            _ => {}
        }
    }
}
