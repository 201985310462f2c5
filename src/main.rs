//! The `aft` server.

fn main() {}
