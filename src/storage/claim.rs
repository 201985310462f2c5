//! What says, in a place that others may use as well, that a store of aft is there: its format, and
//! a random id, by which it is known again.

use super::fault::Fault;
use bytes::Bytes;

const FORMAT: &[u8] = b"aft 1 ";

/// For a new store.
pub(super) fn new(entropy: u128) -> Bytes {
    [FORMAT, format!("{entropy:032x}").as_bytes()].concat().into()
}

/// What was found there, if it says that this is a store that we can use.
///
/// # Errors
/// It is something else. `there` names the place.
pub(super) fn checked(found: Bytes, there: &str) -> Result<Bytes, Fault> {
    if found.starts_with(FORMAT) {
        return Ok(found);
    }
    Err(Fault::Foreign(format!(
        "{there} is \"{}\": not a store of aft, or one of a newer version: use another prefix, or a \
         newer aft",
        found.escape_ascii()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_is_is_known_by_its_beginning() {
        let claim = new(7);
        assert_eq!(checked(claim.clone(), "the key k"), Ok(claim));
        let fault = checked(Bytes::from_static(b"aft 2 x"), "the key k").unwrap_err();
        let said = format!("{fault:?}");
        assert!(matches!(fault, Fault::Foreign(_)) && said.contains("the key k is"), "{said}");
    }
}
