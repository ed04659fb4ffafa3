//! Identities, on the pool for slow work.

use std::path::Path;
use std::sync::Arc;

use espalier_core::key_file::{self, Hardness};
use espalier_core::{identity, sign::SigningKey, words};
use napi_derive::napi;
use zeroize::Zeroizing;

use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::text::Text;
use crate::{arguments, jobs, key_store};

/// A fresh identity in a new file.
#[napi(catch_unwind)]
pub fn key_file_create(job: f64, path: Text, passphrase: Option<Text>, hardness: Text) -> napi::Result<()> {
    let new = NewFile::check(path, passphrase, &hardness)?;
    spawn(job, move |environment| {
        let key = SigningKey::generate()?;
        new.write(&key, key_store::create)?;
        keep(environment, key, new.passphrase.is_some())
    })
}

/// The identity that `words` spell, in a new file.
#[napi(catch_unwind)]
pub fn key_file_import(
    job: f64,
    path: Text,
    words: Text,
    passphrase: Option<Text>,
    hardness: Text,
) -> napi::Result<()> {
    let words = Zeroizing::new(words.0);
    let new = NewFile::check(path, passphrase, &hardness)?;
    spawn(job, move |environment| {
        let seed = words::to_seed(&words)?;
        let key = SigningKey::from_seed(&seed)?;
        new.write(&key, key_store::create)?;
        keep(environment, key, new.passphrase.is_some())
    })
}

/// The identity of an existing file.
#[napi(catch_unwind)]
pub fn key_file_open(job: f64, path: Text, passphrase: Option<Text>) -> napi::Result<()> {
    let passphrase = passphrase.map(|text| Zeroizing::new(text.0));
    spawn(job, move |environment| {
        let file = key_store::read(Path::new(&*path))?;
        let seed = key_file::decode(&file, passphrase.as_ref().map(|text| text.as_bytes()))?;
        let key = SigningKey::from_seed(&seed)?;
        keep(environment, key, key_file::is_protected(&file)?)
    })
}

/// Replaces the file of an identity that is open.
#[napi(catch_unwind)]
pub fn key_file_replace(
    job: f64,
    path: Text,
    handle: f64,
    passphrase: Option<Text>,
    hardness: Text,
) -> napi::Result<()> {
    let new = NewFile::check(path, passphrase, &hardness)?;
    let key = environment::current()?.signing_keys.get(handle)?;
    spawn(job, move |_| {
        new.write(&key, key_store::replace)?;
        Ok(Vec::new())
    })
}

/// The seed of an open identity, as words.
#[napi(catch_unwind)]
pub fn key_words(handle: f64) -> napi::Result<String> {
    let key = environment::current()?.signing_keys.get(handle)?;
    let words = words::from_seed(key.seed()).map_err(Failure::from)?;
    Ok(words.as_str().to_owned())
}

struct NewFile {
    path: String,
    passphrase: Option<Zeroizing<String>>,
    hardness: Hardness,
}

impl NewFile {
    fn check(path: Text, passphrase: Option<Text>, hardness: &str) -> Result<Self, Failure> {
        let passphrase = passphrase.map(|text| Zeroizing::new(text.0));
        Ok(Self {
            path: path.0,
            passphrase,
            hardness: Hardness::from_name(hardness)?,
        })
    }

    fn write(
        &self,
        key: &SigningKey,
        write: impl FnOnce(&Path, &[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let passphrase = self.passphrase.as_ref().map(|text| text.as_bytes());
        let file = key_file::encode(key.seed(), passphrase, self.hardness)?;
        write(Path::new(&self.path), file.as_ref())
    }
}

fn spawn(
    job: f64,
    work: impl FnOnce(&Environment) -> Result<Vec<u8>, Failure> + Send + 'static,
) -> napi::Result<()> {
    let job = arguments::job(job)?;
    let environment: Arc<Environment> = environment::current()?;
    Ok(jobs::spawn_slow(job, move || work(&environment))?)
}

/// The record that ts/native/key-file.ts reads: handle, protection, node id, public key.
fn keep(environment: &Environment, key: SigningKey, protected: bool) -> Result<Vec<u8>, Failure> {
    let public_key = *key.public_key();
    let handle = environment.signing_keys.insert(key)?;
    let mut record = handle.to_le_bytes().to_vec();
    record.push(u8::from(protected));
    record.extend_from_slice(&identity::node_id(&public_key));
    record.extend_from_slice(&public_key);
    Ok(record)
}
