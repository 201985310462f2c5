//! engine
pub mod core;
pub mod gate;
pub mod index;
pub mod now;
pub mod version;
pub mod writes;
