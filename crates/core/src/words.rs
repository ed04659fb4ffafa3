//! A seed as 24 English words (BIP-39): 256 bits and an 8-bit checksum, 11 bits a word.

use bip39::{Language, Mnemonic};
use zeroize::Zeroizing;

use crate::{CoreError, sign::SEED_BYTES};

/// Words in the spelling of a seed.
pub const SEED_WORDS: usize = 24;

/// The words of a seed, separated by single spaces.
///
/// # Errors
///
/// [`CoreError::Internal`] when the implementation fails.
pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Result<Zeroizing<String>, CoreError> {
    let mnemonic = Mnemonic::from_entropy(seed, Language::English)
        .map_err(|_| CoreError::Internal("the seed could not be spelt"))?;
    Ok(Zeroizing::new(mnemonic.phrase().to_owned()))
}

/// The seed that `words` spell. Any white space separates; capitals do not matter.
///
/// # Errors
///
/// [`CoreError::Key`] that names a wrong count, the position of an unknown word, or a checksum that does
/// not fit (words swapped or mistaken). The words themselves never enter the message.
pub fn to_seed(words: &str) -> Result<Zeroizing<[u8; SEED_BYTES]>, CoreError> {
    // 24 words of at most 8 letters; anything much longer is not worth normalising.
    if words.len() > 1024 {
        return Err(CoreError::Key("far more than 24 words were given".to_owned()));
    }
    let words: Zeroizing<Vec<String>> =
        Zeroizing::new(words.split_whitespace().map(str::to_ascii_lowercase).collect());
    if words.len() != SEED_WORDS {
        return Err(CoreError::Key(format!(
            "{} words were given, a seed has {SEED_WORDS}",
            words.len()
        )));
    }
    let list = Language::English.wordlist();
    for (position, word) in words.iter().enumerate() {
        if !list.get_words_by_prefix(word).contains(&word.as_str()) {
            return Err(CoreError::Key(format!(
                "word {} is not in the list",
                position + 1
            )));
        }
    }
    let phrase = Zeroizing::new(words.join(" "));
    let mnemonic = Mnemonic::from_phrase(&phrase, Language::English).map_err(|_| {
        CoreError::Key("the checksum does not fit: a word is wrong or in the wrong place".to_owned())
    })?;
    let seed = mnemonic
        .entropy()
        .try_into()
        .map_err(|_| CoreError::Internal("the seed has an unexpected size"))?;
    Ok(Zeroizing::new(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_survives_its_spelling() {
        for fill in [0, 1, 0x7f, 0xff] {
            let seed = [fill; SEED_BYTES];
            let words = from_seed(&seed).unwrap();
            assert_eq!(words.split(' ').count(), SEED_WORDS);
            assert_eq!(*to_seed(&words.to_uppercase().replace(' ', "\n ")).unwrap(), seed);
        }
    }

    #[test]
    fn the_published_vector_is_reproduced() {
        // BIP-39 test vectors: 256 bits of zero.
        let words = from_seed(&[0; SEED_BYTES]).unwrap();
        assert_eq!(*words, format!("{}art", "abandon ".repeat(23)));
    }

    #[test]
    fn wrong_words_are_told_apart_without_being_repeated() {
        let words = from_seed(&[7; SEED_BYTES]).unwrap();
        let mut swapped: Vec<&str> = words.split(' ').collect();
        swapped.swap(0, 1);
        let unknown = words.replacen(words.split(' ').nth(2).unwrap(), "xylophones", 1);
        for bad in ["", "abandon", &swapped.join(" "), &unknown, &"a ".repeat(600)] {
            let error = to_seed(bad).unwrap_err();
            assert_eq!(error.code(), "KEY_INVALID");
            assert!(!error.to_string().contains("xylophones"));
        }
    }
}
