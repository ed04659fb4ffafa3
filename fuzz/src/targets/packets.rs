//! What is taken out of a batch of UDP packets before QUIC sees it.

use std::net::{Ipv4Addr, SocketAddr};

use espalier_transport::fuzz;
use quinn::udp::RecvMeta;

use crate::{Target, input::Input};

use super::noise;

/// Two bytes of stride, two of length, then the buffer: the length may be a lie.
pub(super) const TARGET: Target = Target {
    name: "packets",
    run: |data| {
        let mut input = Input::new(data);
        let (stride, claimed) = (usize::from(input.u16()), usize::from(input.u16()));
        let packets = input.rest();
        for stride in [stride, stride % 64, usize::MAX - stride] {
            let mut buffer = packets.to_vec();
            let mut meta = RecvMeta {
                addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
                len: claimed,
                stride,
                ecn: None,
                dst_ip: None,
            };

            let foreign = fuzz::keep_quic(&mut buffer, &mut meta);

            let received = &packets[..claimed.min(packets.len())];
            let (quic, others): (Vec<&[u8]>, Vec<&[u8]>) = received
                .chunks(stride.max(1))
                .partition(|packet| packet[0] & 0x40 != 0);
            assert_eq!(buffer[..meta.len], quic.concat());
            assert_eq!(foreign, others.len());
        }
    },
    seeds: || {
        let batch = |stride: u16, packets: &[u8]| {
            let length = u16::try_from(packets.len()).expect("a short batch");
            [&stride.to_le_bytes()[..], &length.to_le_bytes(), packets].concat()
        };
        let mixed: Vec<u8> = noise(2, 600);
        vec![
            batch(100, &mixed),
            batch(1, &mixed),
            batch(0, &mixed),
            batch(599, &mixed),
            batch(1200, &mixed),
        ]
    },
    mutations: 100_000,
    max_bytes: 2048,
    // References to packets of one byte each, in vectors that grow by doubling.
    memory: |given| 64 * given + 1024,
};
