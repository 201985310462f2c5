//! A bucket of S3, as it was until 2020: what was written over is seen for a while by some.

use aws_sdk_s3::Client as Service;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_s3::error::DisplayErrorContext;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Result;
use crate::play::Client;
use crate::requests::Dice;

const BUCKET: &str = "functions";

/// Connects to it and makes a bucket.
pub(crate) async fn set_up(address: SocketAddr, bucket: &str) -> Result<Service> {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{address}"))
        .force_path_style(true)
        .credentials_provider(Credentials::new("test", "test", None, None, "benchmark"))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    let service = Service::from_conf(config.build());
    let create = service.create_bucket().bucket(bucket).send().await;
    create.map_err(|error| DisplayErrorContext(error).to_string())?;
    Ok(service)
}

/// How many keep a copy.
const REPLICAS: usize = 3;
/// Operations, of all clients, until the last of them has a write: some milliseconds.
const DELAY_MAX: u64 = 60;

/// Which version of an object somebody sees. Their bytes are in S3, each under a name of its own.
#[derive(Debug)]
struct Replicas {
    dice: Dice,
    /// Operations so far.
    now: u64,
    /// Of each key, oldest first.
    versions: HashMap<String, Vec<Version>>,
    names: u64,
}

#[derive(Debug)]
struct Version {
    name: String,
    /// When each replica has it.
    arrives: [u64; REPLICAS],
}

impl Replicas {
    fn new_name(&mut self, key: &str) -> String {
        self.names += 1;
        format!("{key}/{}", self.names)
    }

    /// A version has been written: one replica has it at once, the others some time.
    fn add(&mut self, key: &str, name: String) {
        self.now += 1;
        let mut arrives = [self.now; REPLICAS];
        for at in &mut arrives[1..] {
            *at += self.dice.below(DELAY_MAX + 1);
        }
        self.versions.entry(key.to_owned()).or_default().push(Version { name, arrives });
    }

    /// The name of the newest version that one of the replicas has.
    fn look(&mut self, key: &str) -> Option<String> {
        self.now += 1;
        let replica = self.dice.below(REPLICAS as u64) as usize;
        let versions = self.versions.get(key)?;
        let newest = versions.iter().rfind(|version| version.arrives[replica] <= self.now);
        newest.map(|version| version.name.clone())
    }
}

/// All clients look at the same replicas.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    service: Service,
    replicas: Arc<Mutex<Replicas>>,
}

impl Plain {
    pub(crate) async fn set_up(address: SocketAddr, seed: u64) -> Result<Self> {
        let dice = Dice::new(seed);
        let replicas = Replicas { dice, now: 0, versions: HashMap::new(), names: 0 };
        let service = set_up(address, BUCKET).await?;
        Ok(Self { service, replicas: Arc::new(Mutex::new(replicas)) })
    }

    fn replicas(&self) -> MutexGuard<'_, Replicas> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client for Plain {
    const ALL_AT_ONCE: bool = false;

    async fn read(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut values = Vec::new();
        for key in keys {
            let name = self.replicas().look(key);
            let Some(name) = name else {
                values.push(None);
                continue;
            };
            let get = self.service.get_object().bucket(BUCKET).key(name).send().await;
            let got = get.map_err(|error| DisplayErrorContext(error).to_string())?;
            values.push(Some(got.body.collect().await?.to_vec()));
        }
        Ok(values)
    }

    async fn write(&mut self, key: &str, value: Vec<u8>) -> Result<()> {
        let name = self.replicas().new_name(key);
        let put = self.service.put_object().bucket(BUCKET).key(&name).body(value.into());
        put.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
        self.replicas().add(key, name);
        Ok(())
    }
}
