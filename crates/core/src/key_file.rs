//! The identity file: one ML-DSA-65 seed, sealed under a passphrase or only protected by the file's mode.
//!
//! Layout, integers little-endian:
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 8 | `ESPALKEY` |
//! | 8 | 1 | version, 1 |
//! | 9 | 1 | key algorithm, 1 = ML-DSA-65 |
//! | 10 | 1 | protection: 0 none, 1 Argon2id and XChaCha20-Poly1305 |
//! | 11 | 1 | zero |
//! | 12 | 4 | Argon2id memory in KiB, zero without protection |
//! | 16 | 4 | Argon2id passes |
//! | 20 | 4 | Argon2id lanes |
//! | 24 | 16 | salt |
//! | 40 | 24 | nonce |
//! | 64 | 32 | seed, sealed or plain |
//! | 96 | 16 | tag over all before; without protection the first 16 bytes of its BLAKE3 |

use argon2::{Algorithm as Argon2Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use crate::{
    CoreError, random,
    seal::{Algorithm, EXTENDED_NONCE_BYTES, KEY_BYTES, Sealer, TAG_BYTES},
    sign::SEED_BYTES,
};

/// Bytes in every key file.
pub const KEY_FILE_BYTES: usize = TAG_AT + TAG_BYTES;
/// Most bytes in a passphrase.
pub const MAX_PASSPHRASE_BYTES: usize = 1024;

const MAGIC: &[u8; 8] = b"ESPALKEY";
const VERSION: u8 = 1;
const ALGORITHM_ML_DSA_65: u8 = 1;
const SALT_AT: usize = 24;
const NONCE_AT: usize = 40;
const SEED_AT: usize = 64;
const TAG_AT: usize = 96;

/// How hard a passphrase is to guess (Argon2id, RFC 9106): memory and passes, one lane.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Hardness {
    /// 19 MiB, 2 passes.
    Fast,
    /// 64 MiB, 3 passes.
    #[default]
    Default,
    /// 256 MiB, 4 passes.
    High,
}

impl Hardness {
    /// The preset of a name: `fast`, `default` or `high`.
    ///
    /// # Errors
    ///
    /// [`CoreError::Argument`] for another name.
    pub fn from_name(name: &str) -> Result<Self, CoreError> {
        match name {
            "fast" => Ok(Self::Fast),
            "default" => Ok(Self::Default),
            "high" => Ok(Self::High),
            _ => Err(CoreError::Argument {
                name: "hardness",
                problem: "fast, default and high are allowed".to_owned(),
            }),
        }
    }

    fn cost(self) -> Cost {
        let (memory_kib, passes) = match self {
            Self::Fast => (19 * 1024, 2),
            Self::Default => (64 * 1024, 3),
            Self::High => (256 * 1024, 4),
        };
        Cost {
            memory_kib,
            passes,
            lanes: 1,
        }
    }
}

/// Whether a file needs a passphrase.
///
/// # Errors
///
/// As [`decode`].
pub fn is_protected(file: &[u8]) -> Result<bool, CoreError> {
    Header::read(file).map(|header| header.cost.is_some())
}

/// The bytes of a new file.
///
/// # Errors
///
/// [`CoreError::Argument`] for a passphrase that is empty or over 1,024 bytes.
pub fn encode(
    seed: &[u8; SEED_BYTES],
    passphrase: Option<&[u8]>,
    hardness: Hardness,
) -> Result<Zeroizing<[u8; KEY_FILE_BYTES]>, CoreError> {
    let mut file = Zeroizing::new([0; KEY_FILE_BYTES]);
    file[..8].copy_from_slice(MAGIC);
    file[8] = VERSION;
    file[9] = ALGORITHM_ML_DSA_65;
    file[SEED_AT..TAG_AT].copy_from_slice(seed);
    let Some(passphrase) = passphrase else {
        let check = checksum(&file[..TAG_AT]);
        file[TAG_AT..].copy_from_slice(&check);
        return Ok(file);
    };
    let cost = hardness.cost();
    file[10] = 1;
    file[12..16].copy_from_slice(&cost.memory_kib.to_le_bytes());
    file[16..20].copy_from_slice(&cost.passes.to_le_bytes());
    file[20..24].copy_from_slice(&cost.lanes.to_le_bytes());
    random::fill(&mut file[SALT_AT..SEED_AT])?;
    let sealer = sealer(&file, cost, passphrase)?;
    let (header, rest) = file.split_at_mut(SEED_AT);
    let (sealed, tag_place) = rest.split_at_mut(SEED_BYTES);
    let tag = sealer.seal_in_place(header, sealed)?;
    tag_place.copy_from_slice(&tag);
    Ok(file)
}

/// The seed in a file.
///
/// # Errors
///
/// [`CoreError::Key`] with the cause: not a key file, damaged, from a newer version, a passphrase missing
/// or wrong.
pub fn decode(file: &[u8], passphrase: Option<&[u8]>) -> Result<Zeroizing<[u8; SEED_BYTES]>, CoreError> {
    let header = Header::read(file)?;
    let file: &[u8; KEY_FILE_BYTES] = file.try_into().map_err(|_| damaged("its size is wrong"))?;
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    let Some(cost) = header.cost else {
        if checksum(&file[..TAG_AT]) != file[TAG_AT..] {
            return Err(damaged("its checksum does not fit"));
        }
        seed.copy_from_slice(&file[SEED_AT..TAG_AT]);
        return Ok(seed);
    };
    let Some(passphrase) = passphrase else {
        return Err(CoreError::Key("the key file needs a passphrase".to_owned()));
    };
    let sealer = sealer(file, cost, passphrase)?;
    let mut sealed = Zeroizing::new([0; SEED_BYTES + TAG_BYTES]);
    sealed.copy_from_slice(&file[SEED_AT..]);
    sealer
        .open_in_place(&file[..SEED_AT], sealed.as_mut())
        .map_err(|_| CoreError::Key("the passphrase is wrong, or the key file is damaged".to_owned()))?;
    seed.copy_from_slice(&sealed[..SEED_BYTES]);
    Ok(seed)
}

#[derive(Clone, Copy)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

struct Header {
    cost: Option<Cost>,
}

impl Header {
    /// Checks everything before a byte of memory is spent on it: a hostile file may ask for anything.
    fn read(file: &[u8]) -> Result<Self, CoreError> {
        if file.len() < 8 || &file[..8] != MAGIC {
            return Err(CoreError::Key("this is not a key file".to_owned()));
        }
        if file.len() != KEY_FILE_BYTES {
            return Err(damaged("its size is wrong"));
        }
        if file[8] != VERSION {
            return Err(CoreError::Key(format!(
                "the key file has version {}, this build reads {VERSION}",
                file[8]
            )));
        }
        if file[9] != ALGORITHM_ML_DSA_65 || file[11] != 0 {
            return Err(damaged("it names an unknown algorithm"));
        }
        let number = |at: usize| u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]);
        let cost = Cost {
            memory_kib: number(12),
            passes: number(16),
            lanes: number(20),
        };
        match file[10] {
            0 if file[12..SEED_AT].iter().all(|byte| *byte == 0) => Ok(Self { cost: None }),
            1 if (8 * 1024..=1024 * 1024).contains(&cost.memory_kib)
                && (1..=16).contains(&cost.passes)
                && (1..=4).contains(&cost.lanes) =>
            {
                Ok(Self { cost: Some(cost) })
            }
            _ => Err(damaged("its header has values that no version writes")),
        }
    }
}

fn sealer(file: &[u8; KEY_FILE_BYTES], cost: Cost, passphrase: &[u8]) -> Result<Sealer, CoreError> {
    if passphrase.is_empty() || passphrase.len() > MAX_PASSPHRASE_BYTES {
        return Err(CoreError::size(
            "passphrase",
            passphrase.len(),
            format_args!("1 to {MAX_PASSPHRASE_BYTES}"),
        ));
    }
    let failed = |_| CoreError::Internal("the passphrase could not be stretched");
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(KEY_BYTES)).map_err(failed)?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    Argon2::new(Argon2Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, &file[SALT_AT..NONCE_AT], key.as_mut())
        .map_err(failed)?;
    Sealer::new(
        Algorithm::XChaCha20Poly1305,
        key.as_ref(),
        &file[NONCE_AT..NONCE_AT + EXTENDED_NONCE_BYTES],
    )
}

fn checksum(bytes: &[u8]) -> [u8; TAG_BYTES] {
    let mut check = [0; TAG_BYTES];
    check.copy_from_slice(&blake3::hash(bytes).as_bytes()[..TAG_BYTES]);
    check
}

fn damaged(how: &str) -> CoreError {
    CoreError::Key(format!("the key file is damaged: {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; SEED_BYTES] = [9; SEED_BYTES];

    #[test]
    fn a_seed_comes_back_with_and_without_a_passphrase() {
        let plain = encode(&SEED, None, Hardness::Fast).unwrap();
        assert_eq!(*decode(plain.as_ref(), None).unwrap(), SEED);
        assert!(!is_protected(plain.as_ref()).unwrap());

        let sealed = encode(&SEED, Some(b"leaf"), Hardness::Fast).unwrap();
        assert_eq!(*decode(sealed.as_ref(), Some(b"leaf")).unwrap(), SEED);
        assert!(is_protected(sealed.as_ref()).unwrap());
        assert!(!sealed.windows(SEED_BYTES).any(|window| window == SEED));
    }

    #[test]
    fn the_wrong_passphrase_or_none_is_refused() {
        let sealed = encode(&SEED, Some(b"leaf"), Hardness::Fast).unwrap();
        for wrong in [None, Some(&b"Leaf"[..])] {
            assert_eq!(decode(sealed.as_ref(), wrong).unwrap_err().code(), "KEY_INVALID");
        }
        assert_eq!(
            decode(sealed.as_ref(), Some(b"")).unwrap_err().code(),
            "INVALID_ARGUMENT"
        );
        assert_eq!(
            encode(&SEED, Some(&[1; 1025]), Hardness::Fast)
                .unwrap_err()
                .code(),
            "INVALID_ARGUMENT"
        );
    }

    #[test]
    fn every_flipped_byte_of_an_unprotected_file_is_found() {
        let plain = encode(&SEED, None, Hardness::Fast).unwrap();
        for at in 0..KEY_FILE_BYTES {
            let mut flipped = *plain;
            flipped[at] ^= 1;
            assert_eq!(
                decode(&flipped, None).unwrap_err().code(),
                "KEY_INVALID",
                "byte {at}"
            );
        }
    }

    #[test]
    fn flipped_bytes_of_a_protected_file_are_found() {
        let sealed = encode(&SEED, Some(b"leaf"), Hardness::Fast).unwrap();
        for at in [0, 8, 9, 10, 11, 13, 17, 21, 24, 40, 63, 64, 95, 96, 111] {
            let mut flipped = *sealed;
            flipped[at] ^= 1;
            assert_eq!(
                decode(&flipped, Some(b"leaf")).unwrap_err().code(),
                "KEY_INVALID",
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_header_that_asks_for_much_memory_is_refused_before_it_is_spent() {
        let mut hostile = *encode(&SEED, Some(b"leaf"), Hardness::Fast).unwrap();
        hostile[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&hostile, Some(b"leaf")).unwrap_err().code(), "KEY_INVALID");
        for cut in [0, 7, 8, 50, KEY_FILE_BYTES - 1] {
            assert_eq!(
                decode(&hostile[..cut], Some(b"leaf")).unwrap_err().code(),
                "KEY_INVALID"
            );
        }
    }
}
