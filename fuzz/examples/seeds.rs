//! Writes the seeds of a target into a folder, one file each, for libFuzzer to start from.

use std::{env, fs, path::PathBuf};

use espalier_fuzz::targets::ALL;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args_os().skip(1);
    let (Some(name), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("seeds TARGET FOLDER".into());
    };
    let target = ALL
        .iter()
        .find(|target| *target.name == *name)
        .ok_or("no such target")?;
    let folder = PathBuf::from(folder);
    fs::create_dir_all(&folder)?;
    for seed in (target.seeds)() {
        let digest = blake3::hash(&seed).to_hex();
        fs::write(folder.join(&digest[..16]), seed)?;
    }
    Ok(())
}
