//! What a user may be handed: key files and words.

use espalier_core::{
    key_file::{self, Hardness, KEY_FILE_BYTES},
    words,
};

use crate::Target;

/// Without a passphrase: with one, every input that gets past the header costs what Argon2id asks.
pub(super) const FILE: Target = Target {
    name: "key_file",
    run: |data| {
        let protected = key_file::is_protected(data);
        match key_file::decode(data, None) {
            Ok(seed) => {
                assert_eq!(protected, Ok(false));
                let again = key_file::encode(&seed, None, Hardness::Fast).expect("no passphrase, no error");
                assert_eq!(again.as_slice(), data, "one file for each unprotected seed");
            }
            Err(error) => assert_eq!(error.code(), "KEY_INVALID"),
        }
        if protected.is_ok() {
            assert_eq!(data.len(), KEY_FILE_BYTES);
        }
    },
    seeds: || {
        let file = |passphrase| {
            let file = key_file::encode(&[12; 32], passphrase, Hardness::Fast);
            file.expect("the passphrase has its size").to_vec()
        };
        vec![file(None), file(Some(b"leaf")), b"ESPALKEY".to_vec()]
    },
    mutations: 200_000,
    max_bytes: 256,
    memory: |_| 1024,
};

pub(super) const WORDS: Target = Target {
    name: "words",
    run: |data| {
        let Ok(text) = std::str::from_utf8(data) else {
            return;
        };
        match words::to_seed(text) {
            Ok(seed) => {
                let given = text
                    .split_whitespace()
                    .map(str::to_ascii_lowercase)
                    .collect::<Vec<_>>()
                    .join(" ");
                let spelt = words::from_seed(&seed).expect("every seed has words");
                assert_eq!(*spelt, given, "one spelling for each seed");
            }
            Err(error) => {
                assert_eq!(error.code(), "KEY_INVALID");
                // A message may be logged: it has no room for words.
                assert!(error.to_string().len() < 80);
            }
        }
    },
    seeds: || {
        let spelt = |fill: u8| {
            let words = words::from_seed(&[fill; 32]).expect("every seed has words");
            words.as_bytes().to_vec()
        };
        vec![
            spelt(0),
            spelt(7),
            spelt(255).to_ascii_uppercase(),
            "abandon ".repeat(24).into_bytes(),
        ]
    },
    mutations: 100_000,
    max_bytes: 2048,
    memory: |given| 64 * given + 32_768,
};
