//! Plain quinn that answers: the first byte of a stream says what it is.

use serde_json::json;

use crate::{
    commands::{Failure, say, serve},
    tls,
};

/// The stream's bytes come back.
pub const ECHO: u8 = 0;
/// The stream's bytes are counted, and the count comes back as eight bytes, little-endian.
pub const SINK: u8 = 1;
const MAX_REQUEST_BYTES: usize = 1 << 20;

pub fn run(seed: &[u8; 32]) -> Result<(), Failure> {
    let (_, config) = tls::configs(seed)?;
    // One thread, as the runtime that does best when a process has one core.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let endpoint = {
        let _inside = runtime.enter();
        tls::endpoint(Some(config))?
    };
    say(&json!({ "address": endpoint.local_addr()?.to_string() }))?;
    std::thread::spawn(move || runtime.block_on(accept(endpoint)));
    serve(|command| Err(format!("no operation {:?}", command.op()).into()))
}

async fn accept(endpoint: quinn::Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            while let Ok((send, receive)) = connection.accept_bi().await {
                tokio::spawn(answer(send, receive));
            }
        });
    }
}

async fn answer(mut send: quinn::SendStream, mut receive: quinn::RecvStream) -> Result<(), Failure> {
    let mut kind = [0];
    receive.read_exact(&mut kind).await?;
    if kind[0] == SINK {
        let mut count = 0_u64;
        while let Some(chunk) = receive.read_chunk(256 << 10, true).await? {
            count += chunk.bytes.len() as u64;
        }
        send.write_all(&count.to_le_bytes()).await?;
    } else {
        let body = receive.read_to_end(MAX_REQUEST_BYTES).await?;
        send.write_all(&body).await?;
    }
    send.finish()?;
    Ok(())
}
