//! Every target on stable Rust: its corpus, then seeded mutations, the same every time. `ESPALIER_LONG=1` makes it ten
//! times as long and takes another seed each day; `ESPALIER_FUZZ_SEED` repeats a run.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::HashSet,
    env,
    fmt::Write as _,
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use espalier_fuzz::{
    Target,
    mutate::{Random, mutate},
    targets::ALL,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

macro_rules! replay {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            replay($name);
        })*

        #[test]
        fn every_target_has_its_test_its_program_and_its_corpus() {
            let names: HashSet<&str> = ALL.iter().map(|target| target.name).collect();
            let tested = HashSet::from([$($name),*]);
            let programs = names_in("fuzz_targets");
            let corpora = names_in("corpus");

            assert_eq!(names.len(), ALL.len());
            assert_eq!(tested, names);
            assert_eq!(programs.iter().map(String::as_str).collect::<HashSet<_>>(), names);
            assert_eq!(corpora.iter().map(String::as_str).collect::<HashSet<_>>(), names);
        }
    };
}

replay! {
    stream_headers_have_one_encoding: "stream_header",
    answers_have_one_encoding: "answer",
    datagrams_are_split_without_loss: "datagram",
    public_keys_have_one_encoding: "public_key",
    only_quic_is_left_in_a_batch: "packets",
    only_true_slices_verify: "verify_slice",
    a_damaged_outboard_gives_no_wrong_proof: "extract_slice",
    any_sufficient_shards_are_a_stripe: "erasure",
    only_a_true_segment_opens: "segment",
    only_what_was_sealed_opens: "seal_open",
    every_ciphertext_has_its_secret: "decapsulate",
    only_reduced_keys_are_taken: "encapsulate",
    three_implementations_agree_about_signatures: "verify_signature",
    key_files_have_one_encoding: "key_file",
    words_have_one_spelling: "words",
    no_changed_handshake_ends_well: "handshake",
    datagrams_earn_little_and_leave_nothing: "datagrams",
    initial_packets_earn_little_and_leave_nothing: "initial_frames",
    a_hostile_peer_claims_no_memory: "frames",
}

fn replay(name: &str) {
    let target = ALL
        .iter()
        .find(|target| target.name == name)
        .expect("a target of this name");
    let seed = seed();
    let mutations = target.mutations * if is_long() { 10 } else { 1 };
    println!("{name}: seed {seed}, {mutations} mutations");
    let mut corpus = (target.seeds)();
    corpus.extend(
        files(&root().join("corpus").join(name))
            .iter()
            .map(|file| fs::read(file).expect("a readable file")),
    );
    assert!(!corpus.is_empty());
    // What is made once is not the cost of an input.
    (target.run)(&corpus[0]);
    for input in &corpus {
        check(target, input, seed);
    }
    let mut random = Random::new(seed);
    for _ in 0..mutations {
        check(target, &mutate(&mut random, &corpus, target.max_bytes), seed);
    }
}

/// One input, within the memory that the target allows for it.
fn check(target: &Target, input: &[u8], seed: u64) {
    let before = Counting::start();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let peak = Counting::peak_above(before);
    if let Err(panic) = outcome {
        eprintln!("{}: seed {seed}, input {}", target.name, hex(input));
        resume_unwind(panic);
    }
    let allowed = (target.memory)(input.len());
    assert!(
        peak <= allowed,
        "{}: seed {seed}, {peak} bytes were allocated at once, {allowed} are allowed, input {}",
        target.name,
        hex(input)
    );
}

fn seed() -> u64 {
    if let Ok(seed) = env::var("ESPALIER_FUZZ_SEED") {
        return seed.parse().expect("ESPALIER_FUZZ_SEED is a number");
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if is_long() { since.as_secs() / 86_400 } else { 1 }
}

fn is_long() -> bool {
    env::var("ESPALIER_LONG").is_ok_and(|value| value == "1")
}

fn names_in(folder: &str) -> HashSet<String> {
    let stem = |file: &PathBuf| file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    files(&root().join(folder)).iter().filter_map(stem).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = entries.into_iter().flatten().collect();
    files.sort();
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Counts what each thread holds and its highest mark.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

impl Counting {
    fn start() -> isize {
        let held = HELD.get();
        PEAK.set(held);
        held
    }

    fn peak_above(before: isize) -> usize {
        usize::try_from(PEAK.get() - before).unwrap_or(0)
    }

    fn count(change: isize) {
        // A thread that is ending has no counter any more.
        let _ = HELD.try_with(|held| {
            held.set(held.get() + change);
            let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
        });
    }
}

// SAFETY: every call goes to the system's allocator as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count(-layout.size().cast_signed());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}
