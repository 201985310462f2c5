//! Replays what the fuzzer starts from, and what it once found, with a stable compiler.

mod resp_support;

#[test]
fn the_request_decoders_corpus_holds() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/request_decoder");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        resp_support::cuts::check(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 30, "the corpus is there");
}
