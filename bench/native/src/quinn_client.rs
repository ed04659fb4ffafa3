//! Plain quinn that asks.

use std::{
    cell::RefCell,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::Value;

use crate::{
    commands::{Failure, cpu_seconds, measured, serve, with_percentiles},
    quinn_server::{ECHO, SINK},
    tls,
};

const CHUNK_BYTES: usize = 256 << 10;

struct Client {
    endpoint: quinn::Endpoint,
    config: quinn::ClientConfig,
    server: SocketAddr,
    /// Connections that stay open and idle until this program ends.
    held: RefCell<Vec<quinn::Connection>>,
}

pub fn run(seed: &[u8; 32], server: &str) -> Result<(), Failure> {
    let server = server.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (config, _) = tls::configs(seed)?;
    let endpoint = {
        let _inside = runtime.enter();
        tls::endpoint(None)?
    };
    let client = Client {
        endpoint,
        config,
        server,
        held: RefCell::default(),
    };
    serve(|command| {
        let time = command.duration()?;
        runtime.block_on(async {
            match command.op() {
                "stream" => client.stream(time).await,
                "requests" => {
                    client
                        .requests(time, command.number("inFlight")?, command.number("bodyBytes")?)
                        .await
                }
                "hold" => client.hold(command.number("connections")?).await,
                "connect" => client.connects(time, command.number("inFlight")?).await,
                other => Err(format!("no operation {other:?}").into()),
            }
        })
    })
}

impl Client {
    async fn dial(&self) -> Result<quinn::Connection, Failure> {
        let dialling = self
            .endpoint
            .connect_with(self.config.clone(), self.server, tls::SERVER_NAME)?;
        Ok(dialling.await?)
    }

    /// As many bytes as fit into `time`, over one stream, until the server has counted them.
    async fn stream(&self, time: Duration) -> Result<Value, Failure> {
        let connection = self.dial().await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        let chunk = Bytes::from(vec![7; CHUNK_BYTES]);
        let (started, cpu) = (Instant::now(), cpu_seconds());
        send.write_all(&[SINK]).await?;
        while started.elapsed() < time {
            // Copied as a program does that reads from somewhere; the chunk stays in the cache.
            send.write_all(&chunk).await?;
        }
        send.finish()?;
        let counted = receive.read_to_end(8).await?;
        let elapsed = started.elapsed();
        let cpu = cpu_seconds() - cpu;
        connection.close(0_u32.into(), b"");
        Ok(measured(
            u64::from_le_bytes(counted.as_slice().try_into()?),
            elapsed,
            cpu,
        ))
    }

    /// Requests on fresh streams, `in_flight` at any time.
    async fn requests(&self, time: Duration, in_flight: usize, bytes: usize) -> Result<Value, Failure> {
        let connection = self.dial().await?;
        let mut body = vec![7; bytes + 1];
        body[0] = ECHO;
        let body = Bytes::from(body);
        let (started, cpu) = (Instant::now(), cpu_seconds());
        let loops: Vec<_> = (0..in_flight)
            .map(|_| {
                let (connection, body) = (connection.clone(), body.clone());
                tokio::spawn(async move {
                    let mut took_micros = Vec::new();
                    while started.elapsed() < time {
                        let asked = Instant::now();
                        request(&connection, &body).await?;
                        took_micros.push(asked.elapsed().as_secs_f64() * 1e6);
                    }
                    Ok::<_, Failure>(took_micros)
                })
            })
            .collect();
        let mut took_micros = Vec::new();
        for each in loops {
            took_micros.extend(each.await??);
        }
        let (elapsed, cpu) = (started.elapsed(), cpu_seconds() - cpu);
        connection.close(0_u32.into(), b"");
        Ok(with_percentiles(
            measured(took_micros.len() as u64, elapsed, cpu),
            took_micros,
        ))
    }

    /// Full handshakes with one request each.
    async fn connects(&self, time: Duration, in_flight: usize) -> Result<Value, Failure> {
        let body = Bytes::from(vec![ECHO; 65]);
        let (started, cpu) = (Instant::now(), cpu_seconds());
        let one = async || {
            let mut took_micros = Vec::new();
            while started.elapsed() < time {
                let asked = Instant::now();
                let connection = self.dial().await?;
                request(&connection, &body).await?;
                took_micros.push(asked.elapsed().as_secs_f64() * 1e6);
                connection.close(0_u32.into(), b"");
            }
            Ok::<_, Failure>(took_micros)
        };
        let mut took_micros = Vec::new();
        for each in join_all((0..in_flight).map(|_| one())).await {
            took_micros.extend(each?);
        }
        let (elapsed, cpu) = (started.elapsed(), cpu_seconds() - cpu);
        if self.held.borrow().is_empty() {
            self.endpoint.wait_idle().await;
        }
        Ok(with_percentiles(
            measured(took_micros.len() as u64, elapsed, cpu),
            took_micros,
        ))
    }

    /// Opens connections, uses each once and keeps them.
    async fn hold(&self, count: usize) -> Result<Value, Failure> {
        let body = Bytes::from(vec![ECHO; 65]);
        let (started, cpu) = (Instant::now(), cpu_seconds());
        for _ in 0..count {
            let connection = self.dial().await?;
            request(&connection, &body).await?;
            self.held.borrow_mut().push(connection);
        }
        Ok(measured(count as u64, started.elapsed(), cpu_seconds() - cpu))
    }
}

async fn request(connection: &quinn::Connection, body: &Bytes) -> Result<(), Failure> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_chunk(body.clone()).await?;
    send.finish()?;
    let answer = receive.read_to_end(1024).await?;
    if answer.len() + 1 != body.len() {
        return Err("the answer is not the question".into());
    }
    Ok(())
}

/// All of them at the same time on this thread.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut pending = false;
        for (future, output) in &mut waiting {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}
