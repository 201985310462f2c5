//! Where a table is.

use super::AwsAddress;
use std::fmt;

/// A table of DynamoDB, or of a server that speaks its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamoDbAddress {
    /// The name of the table.
    pub table: String,
    /// What all partition keys begin with, so that several can share a table.
    pub prefix: String,
    /// Which of the copies of an item may answer.
    pub reads: Reads,
    /// The server, and who vouches for it.
    pub aws: AwsAddress,
}

/// Which of the copies of an item may answer a read of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// The one that has every acknowledged write.
    #[default]
    Consistent,
    /// Any, at half the price; what that one does not have yet is asked of the other.
    Eventual,
}

impl Reads {
    const CONSISTENT: &str = "consistent";
    const EVENTUAL: &str = "eventual";

    fn parse(text: &str) -> Option<Self> {
        match text {
            Self::CONSISTENT => Some(Self::Consistent),
            Self::EVENTUAL => Some(Self::Eventual),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Consistent => Self::CONSISTENT,
            Self::Eventual => Self::EVENTUAL,
        }
    }
}

impl DynamoDbAddress {
    const PREFIX: &str = "aft";

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (path, options) = text.split_once('?').unwrap_or((text, ""));
        let (table, prefix) = path.split_once('/').unwrap_or((path, ""));
        let prefix = if prefix.is_empty() { Self::PREFIX } else { prefix };
        let known = "the options of DynamoDB are endpoint, region, profile, credentials, reads and \
                     ca, such as ?region=eu-central-1";
        let mut reads = Reads::default();
        let own = |name: &str, value: &str| {
            if name == "reads" {
                reads = Reads::parse(value).ok_or("reads is consistent or eventual")?;
            }
            Ok(name == "reads")
        };
        let aws = AwsAddress::parse(options, known, own)?;
        let address = Self { table: table.to_owned(), prefix: prefix.to_owned(), reads, aws };
        address.check()?;
        Ok(address)
    }

    fn check(&self) -> Result<(), String> {
        /// It is part of every key, and so of every item: with more, pieces of objects would cost
        /// a read unit more.
        const PREFIX_BYTES_MAX: usize = 64;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(3..=255).contains(&self.table.len()) || !self.table.bytes().all(plain) {
            return Err("behind dynamodb:// stands the name of a table, such as \
                        dynamodb://my-table; credentials come from the environment or a profile"
                .to_owned());
        }
        if self.prefix.len() > PREFIX_BYTES_MAX || !self.prefix.bytes().all(plain) {
            return Err("a prefix is of letters, digits and -_. and at most 64 long".to_owned());
        }
        Ok(())
    }

    pub(super) fn to_text(&self) -> String {
        let reads = Some(self.reads).filter(|reads| *reads != Reads::default());
        let options = self.aws.options(&[("reads", reads.map(|reads| reads.word().to_owned()))]);
        format!("dynamodb://{}/{}{options}", self.table, self.prefix)
    }
}

impl fmt::Display for DynamoDbAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}
