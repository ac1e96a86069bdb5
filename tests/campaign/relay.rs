//! A relay between box and broker on loopback, whose manners a fault chooses: it goes silent without closing anything, or
//! it understands MQTT 5 and lies.
//!
//! Two threads a connection, plain blocking sockets. TLS goes through it unread; the lying manners are for boxes that
//! speak plain MQTT to it.

use std::io::{Read as _, Result, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::fault::Chance;

/// How often a silent or idle connection is looked at.
const NAP: Duration = Duration::from_millis(20);
/// Messages that are remembered for replays.
const REMEMBERED: usize = 256;

/// How the relay treats what goes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Bytes, as they are.
    Bytes,
    /// So many of a hundred alerts are acknowledged to the box and go nowhere.
    Drops(u64),
    /// Old messages come again, messages change places, and altered ones come between them, both ways.
    Forges,
}

/// What it did.
#[derive(Debug, Default)]
pub struct Deeds {
    pub dropped: AtomicU64,
    pub replayed: AtomicU64,
    pub reordered: AtomicU64,
    pub forged: AtomicU64,
}

struct State {
    manner: Manner,
    chance: Mutex<Chance>,
    deeds: Deeds,
    connections: AtomicU64,
    /// Connections up to this one are silent.
    silent: AtomicU64,
    /// Connections up to this one are closed.
    closed: AtomicU64,
    over: AtomicBool,
    /// What went down and up, for replays.
    past: [Mutex<Vec<Publish>>; 2],
}

/// The relay; ends with this value.
pub struct Relay {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Relay {
    /// Listens, and connects each who comes to `target`.
    pub fn start(target: u16, manner: Manner, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            manner,
            chance: Mutex::new(Chance(seed)),
            deeds: Deeds::default(),
            connections: AtomicU64::new(0),
            silent: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            over: AtomicBool::new(false),
            past: [Mutex::default(), Mutex::default()],
        });
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if serving.over.load(Ordering::SeqCst) {
                    return;
                }
                // Nobody there: the one who came learns it by the close.
                if let Ok(far) = TcpStream::connect(("127.0.0.1", target)) {
                    serve(&near, &far, &serving);
                }
            }
        });
        Self { port, state }
    }

    /// What it did so far.
    pub fn deeds(&self) -> &Deeds {
        &self.state.deeds
    }

    /// From now on nothing goes through the connections that stand, and nothing closes them. New ones are served.
    pub fn fall_silent(&self) {
        self.state.silent.store(self.state.connections.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// From now on nothing goes through any connection, until [`Relay::fall_silent`] lets new ones through.
    pub fn be_silent(&self) {
        self.state.silent.store(u64::MAX, Ordering::SeqCst);
    }

    /// Closes the connections that are silent: nobody waits for them any more.
    pub fn close_silent(&self) {
        self.state.closed.store(self.state.silent.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// How many connections there have been.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        // Wakes the thread that listens.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(near: &TcpStream, far: &TcpStream, state: &Arc<State>) {
    let id = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
    for (from, to, way) in [(near, far, Way::Up), (far, near, Way::Down)] {
        from.set_read_timeout(Some(NAP)).unwrap();
        from.set_nodelay(true).unwrap();
        let (from, to, state) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(state));
        std::thread::spawn(move || {
            let mut pump = Pump { from, to, state, id, way, held: None };
            let _ = if pump.state.manner == Manner::Bytes { pump.bytes() } else { pump.packets() };
            let _ = pump.from.shutdown(Shutdown::Both);
            let _ = pump.to.shutdown(Shutdown::Both);
        });
    }
}

struct Pump {
    from: TcpStream,
    to: TcpStream,
    state: Arc<State>,
    id: u64,
    way: Way,
    /// A message that waits to be overtaken.
    held: Option<Publish>,
}

impl Pump {
    /// Waits while the connection is silent; false when the relay is over.
    fn may_go_on(&self) -> bool {
        loop {
            if self.state.over.load(Ordering::SeqCst) || self.id <= self.state.closed.load(Ordering::SeqCst) {
                return false;
            }
            if self.id > self.state.silent.load(Ordering::SeqCst) {
                return true;
            }
            std::thread::sleep(NAP);
        }
    }

    /// Some bytes; `None` when the connection is over.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        while self.may_go_on() {
            match self.from.read(buffer) {
                Ok(0) => return Ok(None),
                Ok(n) => return Ok(Some(n)),
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    fn bytes(&mut self) -> Result<()> {
        let mut buffer = vec![0; 16 << 10];
        while let Some(n) = self.read(&mut buffer)? {
            if !self.may_go_on() {
                break;
            }
            self.to.write_all(&buffer[..n])?;
        }
        Ok(())
    }

    fn packets(&mut self) -> Result<()> {
        let (mut buffer, mut gathered) = (vec![0; 16 << 10], Vec::new());
        while let Some(n) = self.read(&mut buffer)? {
            gathered.extend_from_slice(&buffer[..n]);
            while let Some(length) = packet_length(&gathered) {
                let packet: Vec<u8> = gathered.drain(..length).collect();
                self.pass(&packet)?;
            }
        }
        Ok(())
    }

    /// Passes a whole packet on, or does to it what the manner says.
    fn pass(&mut self, packet: &[u8]) -> Result<()> {
        let Some(publish) = Publish::read(packet) else { return self.to.write_all(packet) };
        match self.state.manner {
            Manner::Bytes => self.to.write_all(packet),
            Manner::Drops(percent) => match publish.id {
                Some(id) if self.way == Way::Up && publish.is_alert() && self.chance().percent(percent) => {
                    self.state.deeds.dropped.fetch_add(1, Ordering::SeqCst);
                    // PUBACK, success.
                    self.from.write_all(&[0x40, 2, (id >> 8) as u8, id as u8])
                }
                _ => self.to.write_all(packet),
            },
            Manner::Forges => self.forge(publish),
        }
    }

    fn chance(&self) -> Chance {
        let mut chance = self.state.chance.lock().unwrap();
        Chance(chance.next())
    }

    fn forge(&mut self, publish: Publish) -> Result<()> {
        let (mut chance, deeds) = (self.chance(), &self.state.deeds);
        let mut out = Vec::new();
        {
            let mut past = self.state.past[usize::from(self.way == Way::Up)].lock().unwrap();
            if !past.is_empty() {
                let old = past[chance.below(past.len() as u64) as usize].clone();
                if chance.percent(30) {
                    out.push(old.unacknowledged());
                    deeds.replayed.fetch_add(1, Ordering::SeqCst);
                }
                if chance.percent(30) {
                    out.push(forged(&old, &past, &mut chance).unacknowledged());
                    deeds.forged.fetch_add(1, Ordering::SeqCst);
                }
            }
            if past.len() == REMEMBERED {
                past.swap_remove(chance.below(REMEMBERED as u64) as usize);
            }
            past.push(publish.clone());
        }
        match self.held.take() {
            Some(held) => {
                deeds.reordered.fetch_add(1, Ordering::SeqCst);
                out.extend([publish, held]);
            }
            // A held one waits for the next, which may be long in coming: only while there is much traffic.
            None if publish.is_alert() && chance.percent(10) => self.held = Some(publish),
            None => out.push(publish),
        }
        let bytes: Vec<u8> = out.iter().flat_map(Publish::write).collect();
        self.to.write_all(&bytes)
    }
}

/// An altered copy: another payload, another's payload, or another topic of the same kind.
fn forged(old: &Publish, past: &[Publish], chance: &mut Chance) -> Publish {
    let mut forged = old.clone();
    match chance.below(3) {
        0 if forged.payload_at < forged.rest.len() => {
            let length = forged.rest.len() - forged.payload_at;
            let at = forged.payload_at + chance.below(length as u64) as usize;
            forged.rest[at] ^= 1 << chance.below(8);
        }
        1 => forged.rest.clone_from(&past[chance.below(past.len() as u64) as usize].rest),
        _ => {
            // The last character: another id of a command, another severity, another box's ack.
            let last = forged.topic.pop().unwrap_or(b'x');
            forged.topic.push(if last == b'0' { b'1' } else { b'0' });
        }
    }
    forged
}

/// Length of the first packet, when it is here whole.
fn packet_length(bytes: &[u8]) -> Option<usize> {
    let (length, used) = varint(bytes.get(1..)?)?;
    let whole = 1 + used + length;
    (bytes.len() >= whole).then_some(whole)
}

/// A variable byte integer (MQTT 5, 1.5.5): its value and how many bytes it takes.
fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (n, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((value, n + 1));
        }
    }
    None
}

/// A PUBLISH, taken apart.
#[derive(Debug, Clone)]
struct Publish {
    head: u8,
    topic: Vec<u8>,
    id: Option<u16>,
    /// Properties and payload.
    rest: Vec<u8>,
    payload_at: usize,
}

impl Publish {
    fn read(packet: &[u8]) -> Option<Self> {
        let head = *packet.first()?;
        if head >> 4 != 3 {
            return None;
        }
        let (_, used) = varint(&packet[1..])?;
        let body = &packet[1 + used..];
        let length = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
        let topic = body.get(2..2 + length)?.to_vec();
        let mut at = 2 + length;
        let mut id = None;
        if head & 0b110 != 0 {
            id = Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
            at += 2;
        }
        let rest = body.get(at..)?.to_vec();
        let (properties, used) = varint(&rest)?;
        Some(Self { head, topic, id, rest, payload_at: used + properties })
    }

    fn is_alert(&self) -> bool {
        self.topic.windows(7).any(|part| part == b"/alert/")
    }

    /// As a message that nobody acknowledges: it takes no packet id.
    fn unacknowledged(&self) -> Self {
        Self { head: self.head & 0xf0, id: None, ..self.clone() }
    }

    fn write(&self) -> Vec<u8> {
        let mut body = (self.topic.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(&self.topic);
        body.extend(self.id.iter().flat_map(|id| id.to_be_bytes()));
        body.extend_from_slice(&self.rest);
        let mut packet = vec![self.head];
        let mut length = body.len();
        loop {
            let byte = (length & 0x7f) as u8;
            length >>= 7;
            packet.push(if length > 0 { byte | 0x80 } else { byte });
            if length == 0 {
                break;
            }
        }
        packet.extend(body);
        packet
    }
}
