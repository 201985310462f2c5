//! The keys of a store in a Redis.

/// Among so many the names are divided: enough for every node of a usual cluster to have some,
/// few enough to ask all of them for a listing. Part of the format.
pub(super) const SHARDS: usize = 16;

/// All keys, which begin with one prefix.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The string that holds an object.
    pub(super) fn object(&self, name: &str) -> String {
        self.key(shard(name), "o:") + name
    }

    /// The sorted set of a shard's names.
    pub(super) fn index(&self, shard: usize) -> String {
        self.key(shard, "index")
    }

    /// What is written so that there is something to wait for.
    pub(super) fn waited(&self, shard: usize) -> String {
        self.key(shard, "waited")
    }

    /// The string that says what all this is.
    pub(super) fn format(&self) -> String {
        self.key(0, "format")
    }

    /// A key that is never there.
    pub(super) fn absent(&self, shard: usize) -> String {
        self.key(shard, "absent")
    }

    /// On a cluster, what stands in braces decides the node.
    fn key(&self, shard: usize, what: &str) -> String {
        format!("{{{}:{shard:02}}}:{what}", self.prefix)
    }
}

/// The shard of a name. Part of the format.
pub(super) fn shard(name: &str) -> usize {
    crc32c::crc32c(name.as_bytes()) as usize % SHARDS
}

/// From where to where a sorted set is listed: names that begin with `prefix` and are greater
/// than `after`.
pub(super) fn range(prefix: &str, after: &str) -> (Vec<u8>, Vec<u8>) {
    let from = if after < prefix { format!("[{prefix}") } else { format!("({after}") };
    // Behind the last name with this prefix; no byte of UTF-8 is the largest there is.
    let mut to = format!("({prefix}").into_bytes();
    match to.as_mut_slice() {
        [_, .., last] => *last += 1,
        _ => to = b"+".to_vec(),
    }
    (if from.len() == 1 { b"-".to_vec() } else { from.into_bytes() }, to)
}
