//! A UDP wire in user space that a test can cut, redirect and listen to.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// One datagram as it passed.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    pub from_client: bool,
    pub bytes: usize,
    pub at: Instant,
}

struct Wire {
    server: Mutex<SocketAddr>,
    client: Mutex<Option<SocketAddr>>,
    mute_server: Mutex<bool>,
    delay: Duration,
    passed: Mutex<Vec<Passed>>,
    ended: Mutex<bool>,
}

pub struct Relay {
    wire: Arc<Wire>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// A wire to `server` that takes `delay` in each direction.
    pub fn start(server: SocketAddr, delay: Duration) -> Self {
        let wire = Arc::new(Wire {
            server: Mutex::new(server),
            client: Mutex::default(),
            mute_server: Mutex::default(),
            delay,
            passed: Mutex::default(),
            ended: Mutex::default(),
        });
        let (front, back) = (bound(), bound());
        let address = front.local_addr().unwrap();
        let threads = [
            (true, front.try_clone().unwrap(), back.try_clone().unwrap()),
            (false, back, front),
        ]
        .map(|(from_client, from, to)| {
            let wire = wire.clone();
            std::thread::spawn(move || wire.carry(from_client, &from, &to))
        })
        .into();
        Self {
            wire,
            address,
            threads,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether what the server sends is lost.
    pub fn mute_server(&self, mute: bool) {
        *self.wire.mute_server.lock() = mute;
    }

    pub fn redirect(&self, server: SocketAddr) {
        *self.wire.server.lock() = server;
    }

    pub fn passed(&self) -> Vec<Passed> {
        self.wire.passed.lock().clone()
    }
}

impl Wire {
    fn carry(&self, from_client: bool, from: &UdpSocket, to: &UdpSocket) {
        let to = to.try_clone().unwrap();
        let (line, travelling) = mpsc::channel::<(Instant, SocketAddr, Vec<u8>)>();
        let sender = std::thread::spawn(move || {
            for (due, target, packet) in travelling {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                to.send_to(&packet, target).unwrap();
            }
        });
        let mut buffer = vec![0; 65_536];
        while !*self.ended.lock() {
            let Ok((bytes, source)) = from.recv_from(&mut buffer) else {
                continue;
            };
            self.passed.lock().push(Passed {
                from_client,
                bytes,
                at: Instant::now(),
            });
            if from_client {
                *self.client.lock() = Some(source);
            } else if *self.mute_server.lock() {
                continue;
            }
            let target = if from_client {
                Some(*self.server.lock())
            } else {
                *self.client.lock()
            };
            if let Some(target) = target {
                let packet = (Instant::now() + self.delay, target, buffer[..bytes].to_vec());
                line.send(packet).unwrap();
            }
        }
        drop(line);
        sender.join().unwrap();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        *self.wire.ended.lock() = true;
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    socket
}
