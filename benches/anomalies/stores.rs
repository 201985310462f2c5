//! What functions keep their data in: stores as they are, and aft on each.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::Result;
use crate::history_support::record::Transaction;
use crate::play::{Play, play};
use crate::servers::{Directory, Kind, Server, Store};
use crate::{dynamodb, resp, s3};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Redis,
    DynamoDb,
    DynamoDbTransactions,
    S3,
    AftOnMemory,
    AftEmbedded,
    AftOnRedis,
    AftOnDynamoDb,
    AftOnS3,
}

impl On {
    pub(crate) const ALL: [Self; 9] = [
        Self::Redis,
        Self::DynamoDb,
        Self::DynamoDbTransactions,
        Self::S3,
        Self::AftOnMemory,
        Self::AftEmbedded,
        Self::AftOnRedis,
        Self::AftOnDynamoDb,
        Self::AftOnS3,
    ];

    /// For the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::DynamoDb => "dynamodb",
            Self::DynamoDbTransactions => "dynamodb-transactions",
            Self::S3 => "s3",
            Self::AftOnMemory => "aft-memory",
            Self::AftEmbedded => "aft-embedded",
            Self::AftOnRedis => "aft-redis",
            Self::AftOnDynamoDb => "aft-dynamodb",
            Self::AftOnS3 => "aft-s3",
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::DynamoDb => "DynamoDB",
            Self::DynamoDbTransactions => "DynamoDB, transactions",
            Self::S3 => "S3, eventually consistent",
            Self::AftOnMemory => "aft in memory",
            Self::AftEmbedded => "aft, embedded store",
            Self::AftOnRedis => "aft on Redis",
            Self::AftOnDynamoDb => "aft on DynamoDB",
            Self::AftOnS3 => "aft on S3",
        }
    }

    pub(crate) fn is_aft(self) -> bool {
        !matches!(self, Self::Redis | Self::DynamoDb | Self::DynamoDbTransactions | Self::S3)
    }

    /// Starts what it needs, and has the functions work on it; their history.
    pub(crate) async fn play(
        self,
        aft: &Path,
        data: &Path,
        what: &Play,
    ) -> Result<Vec<Transaction>> {
        let beneath = match self {
            Self::Redis => Some(Kind::Redis(Store::Memory)),
            Self::AftOnRedis => Some(Kind::Redis(Store::Embedded)),
            Self::AftOnMemory | Self::AftEmbedded => None,
            _ => Some(Kind::MiniStack),
        };
        let beneath = match beneath {
            Some(kind) => Some(Server::start(&kind, data, &[]).await?),
            None => None,
        };
        let history = match (&beneath, self) {
            (Some(redis), Self::Redis) => {
                let address = redis.address();
                play(what, async || resp::Plain::connect(address).await).await
            }
            (Some(table), Self::DynamoDb) => {
                let table = dynamodb::Plain(dynamodb::set_up(table.address()).await?);
                play(what, async || Ok(table.clone())).await
            }
            (Some(table), Self::DynamoDbTransactions) => {
                let service = dynamodb::set_up(table.address()).await?;
                play(what, async || Ok(dynamodb::Transactions::new(service.clone()))).await
            }
            (Some(bucket), Self::S3) => {
                let bucket = s3::Plain::set_up(bucket.address(), what.seed).await?;
                play(what, async || Ok(bucket.clone())).await
            }
            (beneath, _) => {
                let binary = aft.to_owned();
                let server = self.start_aft(binary, data, beneath.as_ref()).await?;
                let address = server.address();
                let history = play(what, async || resp::Aft::connect(address).await).await;
                server.stop().await?;
                history
            }
        };
        if let Some(beneath) = beneath {
            beneath.stop().await?;
        }
        history
    }

    async fn start_aft(
        self,
        binary: PathBuf,
        data: &Path,
        beneath: Option<&Server>,
    ) -> Result<Server> {
        let settings = Vec::new();
        let kind = match (self, beneath) {
            (Self::AftEmbedded, _) => Kind::Aft { binary, store: Store::Embedded, settings },
            (_, None) => Kind::Aft { binary, store: Store::Memory, settings },
            (_, Some(beneath)) => {
                let store = self.address(&binary, beneath).await?;
                Kind::AftOn { binary, store, settings }
            }
        };
        Server::start(&kind, data, &[]).await
    }

    /// Of the store in a server, where aft finds what it needs.
    async fn address(self, binary: &Path, beneath: &Server) -> Result<String> {
        const NAME: &str = "aft-store";
        let address = beneath.address();
        if self == Self::AftOnRedis {
            return Ok(format!("redis://{address}"));
        }
        let credentials = beneath.directory().join("credentials");
        let lines = "[default]\naws_access_key_id = test\naws_secret_access_key = test\n";
        fs::write(&credentials, lines)?;
        let options = format!("endpoint=http://{address}&credentials={}", credentials.display());
        if self == Self::AftOnS3 {
            s3::set_up(address, NAME).await?;
            return Ok(format!("s3://{NAME}/store?{options}"));
        }
        let store = format!("dynamodb://{NAME}/store?{options}");
        let init = Command::new(binary).args(["store", "init", "--store", &store]).output().await?;
        if init.status.success() {
            return Ok(store);
        }
        Err(format!("aft store init: {}", String::from_utf8_lossy(&init.stderr)).into())
    }
}

/// Where servers keep their data for as long as they run.
pub(crate) fn data() -> Result<Directory> {
    Directory::create(Path::new(env!("CARGO_TARGET_TMPDIR")), "anomalies")
}
