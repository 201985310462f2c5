use super::*;
use proptest::prelude::*;

fn entries() -> Vec<Entry> {
    let entry = |database, key: &[u8], expires_ms, value: Vec<u8>| Entry {
        database,
        key: key.to_vec(),
        expires_ms,
        value: value.into(),
    };
    vec![
        entry(0, b"a", 0, b"1".to_vec()),
        entry(15, b"\x00\xff\r\n", 1_900_000_000_000, Vec::new()),
        entry(0, b"", 0, vec![7; 300]),
        // As long as a record, and longer than two.
        entry(3, b"exact", 1, vec![1; PART_BYTES]),
        entry(3, b"large", u64::MAX, (0..2 * PART_BYTES + 5).map(|n| n as u8).collect()),
    ]
}

fn write(entries: &[Entry]) -> Vec<u8> {
    let mut writer = DumpWriter::new(Vec::new(), "writer=test\n").unwrap();
    for entry in entries {
        let place = (entry.database, &entry.key[..]);
        writer.key(place, entry.expires_ms, entry.value.len() as u64).unwrap();
        for piece in entry.value.chunks(700_000) {
            writer.value(piece).unwrap();
        }
    }
    writer.end().unwrap().0
}

/// What a restore would keep.
fn read(dump: &[u8]) -> Result<Vec<Entry>, BackupError> {
    let mut reader = DumpReader::new(dump)?;
    let mut entries = Vec::new();
    loop {
        match reader.next_item()? {
            Item::Entry(entry) => entries.push(entry),
            Item::Again => entries.clear(),
            Item::End(keys) => {
                assert_eq!(keys, entries.len() as u64);
                return Ok(entries);
            }
        }
    }
}

#[test]
fn what_was_written_is_read() {
    assert_eq!(read(&write(&entries())).unwrap(), entries());
    assert_eq!(read(&write(&[])).unwrap(), []);
    assert_eq!(DumpReader::new(&write(&[])[..]).unwrap().about(), "writer=test\n");
}

#[test]
fn what_came_before_again_does_not_count() {
    let mut writer = DumpWriter::new(Vec::new(), "").unwrap();
    writer.key((0, b"lost"), 0, 1).unwrap();
    writer.value(b"x").unwrap();
    // In the middle of an entry, too.
    writer.key((0, b"half"), 0, 100).unwrap();
    writer.value(b"x").unwrap();
    writer.again().unwrap();
    writer.key((0, b"kept"), 0, 1).unwrap();
    writer.value(b"y").unwrap();
    assert!(writer.value(b"z").is_err(), "more than was announced");
    let dump = writer.end().unwrap().0;
    let kept = Entry { database: 0, key: b"kept".to_vec(), expires_ms: 0, value: b"y".into() };
    assert_eq!(read(&dump).unwrap(), [kept]);
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let small = &entries()[..3];
    let dump = write(small);
    for at in 0..dump.len() {
        let cut = read(&dump[..at]).unwrap_err().to_string();
        assert!(cut.contains("cut off") || cut.contains("no dump"), "{at}: {cut}");
        for bit in 0..8 {
            let mut bad = dump.clone();
            bad[at] ^= 1 << bit;
            read(&bad).unwrap_err();
        }
    }
    let behind = [&dump[..], b"\n"].concat();
    assert!(read(&behind).unwrap_err().to_string().contains("behind the end"));
}

/// The records of a dump, from where to where.
fn records(dump: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut at = START_BYTES;
    let mut records = Vec::new();
    while at < dump.len() {
        let length = u32::from_le_bytes(dump[at..at + 4].try_into().unwrap()) as usize;
        records.push(at..at + length + 8);
        at += length + 8;
    }
    records
}

#[test]
fn whole_records_that_are_missing_doubled_or_moved_are_noticed() {
    let dump = write(&entries());
    let records = records(&dump);
    for (at, record) in records.iter().enumerate() {
        let missing = [&dump[..record.start], &dump[record.end..]].concat();
        read(&missing).unwrap_err();
        let doubled = [&dump[..record.end], &dump[record.start..]].concat();
        read(&doubled).unwrap_err();
        if let Some(next) = records.get(at + 1) {
            let (one, other) = (&dump[record.clone()], &dump[next.clone()]);
            let moved = [&dump[..record.start], other, one, &dump[next.end..]].concat();
            read(&moved).unwrap_err();
        }
    }
}

#[test]
fn a_newer_dump_is_refused_and_not_called_damaged() {
    let mut dump = write(&entries()[..1]);
    dump[8..10].copy_from_slice(&(DUMP_VERSION + 1).to_le_bytes());
    let crc = crc32c::crc32c(&dump[..12]);
    dump[12..16].copy_from_slice(&crc.to_le_bytes());
    let refused = read(&dump).unwrap_err();
    assert!(matches!(&refused, BackupError::Refused(why) if why.contains("newer")), "{refused}");
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_stumble(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let start = &write(&[])[..START_BYTES];
        prop_assert!(read(&bytes).is_err());
        prop_assert!(read(&[start, &bytes].concat()).is_err());
    }
}
