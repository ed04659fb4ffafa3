//! A UDP proxy in user space: clients talk to its front, a server sees one socket of it for each client. What
//! happens in between is under [`Conditions`], which may change at any time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as Sender},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};
use tokio::{net::UdpSocket, runtime::Handle, sync::Notify, task::AbortHandle};

use super::conditions::{Conditions, Direction, Fate, Wire};

/// One datagram as it came to the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// Clients are numbered as they come.
    pub client: usize,
    pub direction: Direction,
    pub bytes: usize,
    /// Tells long headers apart (RFC 9000 §17.2).
    pub first_byte: u8,
    pub at: Instant,
    pub fate: Fate,
    /// How often the client had been rebound.
    pub rebound: usize,
}

impl Passed {
    pub fn is_from_client(&self) -> bool {
        self.direction == Direction::ToServer
    }

    /// RFC 9000 §17.2.5.
    pub fn is_retry(&self) -> bool {
        self.first_byte & 0xf0 == 0xf0
    }
}

/// Datagrams that are remembered; enough for 1 GB of large ones.
const MOST_REMEMBERED: usize = 1_000_000;
/// A burst that overflows a socket would be loss that nobody asked for.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

struct Client {
    address: SocketAddr,
    /// Towards the server.
    sender: Sender,
    reading: AbortHandle,
    rebound: usize,
    /// Datagrams so far, which number them.
    sent: u64,
    answered: u64,
}

struct Travelling {
    direction: Direction,
    client: usize,
    datagram: Vec<u8>,
}

struct State {
    server: SocketAddr,
    to_server: Wire,
    to_client: Wire,
    /// Bounded by the sockets that a test opens.
    clients: Vec<Client>,
    by_address: HashMap<SocketAddr, usize>,
    /// Bounded by `MOST_REMEMBERED`.
    passed: Vec<Passed>,
    /// Bounded by what the windows of all connections let be under way, or by the bottleneck's queue.
    travelling: HashMap<u64, Travelling>,
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    next_number: u64,
}

struct Inner {
    handle: Handle,
    /// Sends without asking tokio, which knows nothing of a fresh socket yet.
    front: Sender,
    state: Mutex<State>,
    /// What is due next has changed.
    sooner: Notify,
    ended: Notify,
}

pub struct Proxy {
    inner: Arc<Inner>,
    address: SocketAddr,
    seed: u64,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A wire to `server`, the same in both directions.
    pub fn start(server: SocketAddr, conditions: Conditions, seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap();
        let front = bound(Ipv4Addr::LOCALHOST.into());
        let address = front.local_addr().unwrap();
        let inner = Arc::new(Inner {
            handle: runtime.handle().clone(),
            front,
            state: Mutex::new(State {
                server,
                to_server: Wire::new(conditions.clone(), seed, Direction::ToServer),
                to_client: Wire::new(conditions, seed, Direction::ToClient),
                clients: Vec::new(),
                by_address: HashMap::new(),
                passed: Vec::new(),
                travelling: HashMap::new(),
                due: BinaryHeap::new(),
                next_number: 0,
            }),
            sooner: Notify::new(),
            ended: Notify::new(),
        });
        let of_thread = inner.clone();
        let reader = inner.front.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::spawn(deliver(of_thread.clone()));
                tokio::spawn(read_front(of_thread.clone(), reader));
                of_thread.ended.notified().await;
            });
        });
        Self {
            inner,
            address,
            seed,
            thread: Some(thread),
        }
    }

    /// Where clients send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn to_server(&self, change: impl FnOnce(&mut Conditions)) {
        change(&mut self.inner.state.lock().to_server.conditions);
    }

    pub fn to_client(&self, change: impl FnOnce(&mut Conditions)) {
        change(&mut self.inner.state.lock().to_client.conditions);
    }

    pub fn both_ways(&self, change: impl Fn(&mut Conditions)) {
        self.to_server(&change);
        self.to_client(&change);
    }

    /// Sends everything to another server from now on.
    pub fn redirect(&self, server: SocketAddr) {
        self.inner.state.lock().server = server;
    }

    /// Gives every client another port, and perhaps another address, as a NAT does that forgot them. What the
    /// server sends to the old one is lost.
    pub fn rebind(&self, host: IpAddr) {
        let mut state = self.inner.state.lock();
        for number in 0..state.clients.len() {
            let (sender, reading) = self.inner.open(host, number);
            let client = &mut state.clients[number];
            client.reading.abort();
            client.sender = sender;
            client.reading = reading;
            client.rebound += 1;
        }
    }

    /// Everything that came so far.
    pub fn passed(&self) -> Vec<Passed> {
        self.inner.state.lock().passed.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the proxy's seed was {}", self.seed);
        }
        self.inner.ended.notify_one();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Inner {
    /// A socket towards the server, and the task that reads it.
    fn open(self: &Arc<Self>, host: IpAddr, client: usize) -> (Sender, AbortHandle) {
        let sender = bound(host);
        let socket = sender.try_clone().unwrap();
        let reader = self.handle.spawn(read_back(self.clone(), socket, client));
        (sender, reader.abort_handle())
    }

    fn client_at(self: &Arc<Self>, state: &mut State, address: SocketAddr) -> usize {
        if let Some(known) = state.by_address.get(&address) {
            return *known;
        }
        let number = state.clients.len();
        let (sender, reading) = self.open(Ipv4Addr::LOCALHOST.into(), number);
        state.clients.push(Client {
            address,
            sender,
            reading,
            rebound: 0,
            sent: 0,
            answered: 0,
        });
        state.by_address.insert(address, number);
        number
    }

    fn take(&self, state: &mut State, direction: Direction, client: usize, datagram: &[u8]) {
        let now = Instant::now();
        let (wire, count) = match direction {
            Direction::ToServer => (&mut state.to_server, &mut state.clients[client].sent),
            Direction::ToClient => (&mut state.to_client, &mut state.clients[client].answered),
        };
        let index = *count;
        *count += 1;
        let mut datagram = datagram.to_vec();
        let first_byte = datagram.first().copied().unwrap_or_default();
        let (fate, due) = wire.judge(now, client, index, &mut datagram);
        if state.passed.len() < MOST_REMEMBERED {
            state.passed.push(Passed {
                client,
                direction,
                bytes: datagram.len(),
                first_byte,
                at: now,
                fate,
                rebound: state.clients[client].rebound,
            });
        }
        if !fate.arrives() {
            return;
        }
        let next_before = state.due.peek().map(|Reverse((due, _))| *due);
        for _ in 0..if fate == Fate::Duplicated { 2 } else { 1 } {
            let number = state.next_number;
            state.next_number += 1;
            state.due.push(Reverse((due, number)));
            let datagram = datagram.clone();
            state.travelling.insert(
                number,
                Travelling {
                    direction,
                    client,
                    datagram,
                },
            );
        }
        if due <= now {
            self.send_due(state);
        } else if next_before.is_none_or(|next| due < next) {
            self.sooner.notify_one();
        }
    }

    fn send_due(&self, state: &mut State) {
        let now = Instant::now();
        while let Some(Reverse((due, number))) = state.due.peek().copied() {
            if due > now {
                return;
            }
            state.due.pop();
            let Some(travelling) = state.travelling.remove(&number) else {
                continue;
            };
            let client = &state.clients[travelling.client];
            // An error is news about an earlier datagram (ICMP), or a full buffer: loss, as on any wire.
            let _ = match travelling.direction {
                Direction::ToServer => client.sender.send_to(&travelling.datagram, state.server),
                Direction::ToClient => self.front.send_to(&travelling.datagram, client.address),
            };
        }
    }
}

async fn read_front(inner: Arc<Inner>, socket: Sender) {
    let socket = UdpSocket::from_std(socket).unwrap();
    let mut buffer = vec![0; 65_536];
    loop {
        if let Ok((bytes, source)) = socket.recv_from(&mut buffer).await {
            let mut state = inner.state.lock();
            let client = inner.client_at(&mut state, source);
            inner.take(&mut state, Direction::ToServer, client, &buffer[..bytes]);
        }
    }
}

async fn read_back(inner: Arc<Inner>, socket: Sender, client: usize) {
    let socket = UdpSocket::from_std(socket).unwrap();
    let mut buffer = vec![0; 65_536];
    loop {
        if let Ok((bytes, _)) = socket.recv_from(&mut buffer).await {
            let mut state = inner.state.lock();
            inner.take(&mut state, Direction::ToClient, client, &buffer[..bytes]);
        }
    }
}

async fn deliver(inner: Arc<Inner>) {
    loop {
        let next = {
            let mut state = inner.state.lock();
            inner.send_due(&mut state);
            state.due.peek().map(|Reverse((due, _))| *due)
        };
        let sleep = tokio::time::sleep_until(next.map_or_else(
            || tokio::time::Instant::now() + Duration::from_hours(1),
            tokio::time::Instant::from_std,
        ));
        tokio::select! {
            () = sleep => {}
            () = inner.sooner.notified() => {}
        }
    }
}

fn bound(host: IpAddr) -> Sender {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.bind(&SocketAddr::new(host, 0).into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    // The kernel may give less.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.into()
}
