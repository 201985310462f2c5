//! Settings from outside: the four ways to give one agree, and every mistake explains itself.
#![allow(clippy::unwrap_used)] // A test that fails should stop there.

mod agreement;
mod help;
mod mistakes;
mod redis;
mod world;
