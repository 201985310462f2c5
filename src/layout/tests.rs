use super::group::verify_object;
use super::*;

#[test]
fn names_round_trip_and_only_in_one_spelling() {
    for name in [
        ObjectName::Node(1),
        ObjectName::Log(7, 42),
        ObjectName::Blob(u32::MAX, u64::MAX),
        ObjectName::Base(1, 0),
        ObjectName::View(3),
    ] {
        assert_eq!(name.to_string().parse(), Ok(name));
    }
    for wrong in ["", "log", "log/1/2", "log/0000000001", "node/0000000001/1", "x/0000000001"] {
        assert_eq!(wrong.parse::<ObjectName>(), Err(FormatError::Name), "{wrong}");
    }
}

#[test]
fn names_sort_as_their_numbers() {
    let names = [ObjectName::Log(1, 9), ObjectName::Log(1, 10), ObjectName::Log(2, 1)];
    assert!(names.map(|name| name.to_string()).is_sorted());
}

#[test]
fn a_newer_format_says_so() {
    let mut header = Header::new(Kind::Seal, 1, 1, 1);
    header.format = FORMAT_VERSION + 1;
    let mut object = Vec::new();
    header.encode(&mut object);
    assert_eq!(verify_object(&object), Err(FormatError::Newer(FORMAT_VERSION + 1)));
    // A flipped bit in that field is damage: it must not stop a start.
    header.format = FORMAT_VERSION;
    object.clear();
    header.encode(&mut object);
    object[8] = FORMAT_VERSION as u8 + 1;
    assert_eq!(verify_object(&object), Err(FormatError::Checksum("header")));
}

#[test]
fn what_a_commit_says_takes_as_many_bytes_as_are_told() {
    let text = vec![b'x'; 20_000];
    let said = [0, 1, 127, 128, 16_383, 16_384].map(|length| Some(&text[..length]));
    for token in said {
        for (request, result) in [(None, None), (None, token), (token, None), (said[3], said[5])] {
            let commit = Commit { token, request, result, ..Commit::default() };
            let mut directory = Vec::new();
            directory::put_commit(&mut directory, &commit, 0);
            let lengths = [token, request, result].map(|said| said.map(<[u8]>::len));
            assert_eq!(directory::commit_bytes(lengths), directory.len());
        }
    }
}

#[test]
fn a_view_reads_back_and_no_flipped_bit_passes() {
    let owner = Owner {
        address: "10.0.0.5:6379".to_owned(),
        host: "blue".to_owned(),
        process: 4711,
        started_ms: 1 << 40,
    };
    let view = View { owner, node: 7, lease_ms: 10_000, released: false };
    let object = view.encode(3, 1 << 100, 5);
    assert_eq!(View::decode(3, &object), Ok(view));
    assert!(verify_object(&object).is_ok());
    assert_eq!(View::decode(4, &object), Err(FormatError::Field("name in the header")));
    for at in 0..object.len() * 8 {
        let mut flipped = object.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        assert!(View::decode(3, &flipped).is_err(), "bit {at}");
        assert!(View::decode(3, &object[..at / 8]).is_err(), "cut at {}", at / 8);
    }
}
