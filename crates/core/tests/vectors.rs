//! The published vectors for what has no public function: expanded keys, given randomness, the interfaces below
//! the pure one. What is public is checked through the Node API (test/unit/native/vectors).

// A vector file that does not fit is a failed test.
#![allow(clippy::unwrap_used)]

use std::io::Read as _;
use std::path::Path;

use aws_lc_rs::kem::{self, ML_KEM_768};
use flate2::read::GzDecoder;
use ml_dsa::{B32, EncodedVerifyingKey, ExpandedSigningKey, MlDsa65, Signature, VerifyingKey};
use serde_json::Value;

#[test]
fn acvp_seeds_give_the_expanded_signing_keys() {
    let mut count = 0;
    for (_, case) in cases("acvp/ML-DSA-65-keyGen.json") {
        let key = ExpandedSigningKey::<MlDsa65>::from_seed(&array(&case, "seed"));
        #[allow(deprecated)] // As a storage format; here it is only compared.
        let expanded = key.to_expanded();
        assert_eq!(expanded.as_slice(), bytes(&case, "sk"), "{}", case["tcId"]);
        count += 1;
    }
    report("ACVP ML-DSA-65 keyGen, expanded keys", count, 25);
}

#[test]
fn acvp_signatures_are_reproduced() {
    let mut count = 0;
    for (group, case) in cases("acvp/ML-DSA-65-sigGen.json.gz") {
        // Pre-hashed messages are not offered.
        if group["preHash"] == "preHash" {
            continue;
        }
        let expanded = bytes(&case, "sk");
        #[allow(deprecated)] // The vectors have no seeds.
        let key = ExpandedSigningKey::<MlDsa65>::from_expanded(&expanded.as_slice().try_into().unwrap());
        let randomness = if case["rnd"].is_null() {
            B32::default()
        } else {
            array(&case, "rnd")
        };
        let signature = if group["externalMu"] == true {
            // The library signs a given mu deterministically or with its own randomness only.
            if !case["rnd"].is_null() {
                continue;
            }
            key.sign_mu_deterministic(&bytes(&case, "mu").as_slice().try_into().unwrap())
        } else if group["signatureInterface"] == "internal" {
            key.sign_internal(&[&bytes(&case, "message")], &randomness)
        } else {
            let context = bytes(&case, "context");
            let prefix = [0, u8::try_from(context.len()).unwrap()];
            key.sign_internal(&[&prefix, &context, &bytes(&case, "message")], &randomness)
        };
        assert_eq!(
            signature.encode().as_slice(),
            bytes(&case, "signature"),
            "{}",
            case["tcId"]
        );
        count += 1;
    }
    report(
        "ACVP ML-DSA-65 sigGen (pure, internal, deterministic external mu)",
        count,
        75,
    );
}

#[test]
fn acvp_signatures_of_the_internal_interface_are_judged_right() {
    let mut count = 0;
    for (group, case) in cases("acvp/ML-DSA-65-sigVer.json.gz") {
        if group["signatureInterface"] != "internal" {
            continue;
        }
        let public_key = EncodedVerifyingKey::<MlDsa65>::try_from(bytes(&case, "pk").as_slice()).unwrap();
        let key = VerifyingKey::<MlDsa65>::decode(&public_key);
        let signature = Signature::<MlDsa65>::try_from(bytes(&case, "signature").as_slice());
        let valid = signature.is_ok_and(|signature| {
            if group["externalMu"] == true {
                key.verify_mu(&bytes(&case, "mu").as_slice().try_into().unwrap(), &signature)
            } else {
                key.verify_internal(&bytes(&case, "message"), &signature)
            }
        });
        assert_eq!(valid, case["testPassed"] == true, "{}", case["tcId"]);
        count += 1;
    }
    report("ACVP ML-DSA-65 sigVer, internal", count, 30);
}

#[test]
fn acvp_expanded_keys_decapsulate() {
    let mut count = 0;
    for (group, case) in cases("acvp/ML-KEM-768-encapDecap.json.gz") {
        if group["function"] != "decapsulation" {
            continue;
        }
        let key = kem::DecapsulationKey::new(&ML_KEM_768, &bytes(&case, "dk")).unwrap();
        let ciphertext = bytes(&case, "c");
        let secret = key.decapsulate(ciphertext.as_slice().into()).unwrap();
        assert_eq!(secret.as_ref(), bytes(&case, "k"), "{}", case["tcId"]);
        count += 1;
    }
    report("ACVP ML-KEM-768 decapsulation", count, 10);
}

#[test]
fn given_randomness_gives_the_published_ciphertexts() {
    let acvp = cases("acvp/ML-KEM-768-encapDecap.json.gz")
        .into_iter()
        .filter(|(group, _)| group["function"] == "encapsulation");
    let wycheproof = cases("wycheproof/mlkem_768_encaps_test.json.gz")
        .into_iter()
        .filter(|(_, case)| case["result"] == "valid");
    let mut count = 0;
    for (_, case) in acvp.chain(wycheproof) {
        let secret_name = if case["k"].is_null() { "K" } else { "k" };
        let encoded = bytes(&case, "ek");
        let key = ml_kem::EncapsulationKey768::new(encoded.as_slice().try_into().unwrap()).unwrap();
        let randomness = bytes(&case, "m");
        let (ciphertext, secret) = key.encapsulate_deterministic(&randomness.as_slice().try_into().unwrap());
        assert_eq!(ciphertext.as_slice(), bytes(&case, "c"), "{}", case["tcId"]);
        assert_eq!(secret.as_slice(), bytes(&case, secret_name), "{}", case["tcId"]);
        count += 1;
    }
    report(
        "ML-KEM-768 encapsulation with given randomness (ACVP 25, Wycheproof 133)",
        count,
        158,
    );
}

/// Every case of a file with its group.
fn cases(path: &str) -> Vec<(Value, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../test/vectors")
        .join(path);
    let stored = std::fs::read(&path).unwrap();
    let mut text = Vec::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(stored.as_slice()).read_to_end(&mut text).unwrap();
    } else {
        text = stored;
    }
    let file: Value = serde_json::from_slice(&text).unwrap();
    let groups = file["testGroups"].as_array().unwrap().iter();
    groups
        .flat_map(|group| {
            let mut shared = group.clone();
            shared["tests"] = Value::Null;
            let tests = group["tests"].as_array().unwrap().iter();
            tests.map(move |case| (shared.clone(), case.clone()))
        })
        .collect()
}

fn bytes(case: &Value, field: &str) -> Vec<u8> {
    let text = case[field].as_str().unwrap_or_default();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn array(case: &Value, field: &str) -> B32 {
    B32::try_from(bytes(case, field).as_slice()).unwrap()
}

fn report(what: &str, count: usize, expected: usize) {
    assert_eq!(count, expected, "{what}");
    println!("{what}: {count} of {expected}");
}
