//! A bucket of S3 as the store, or of a server that speaks its protocol: an object is an object.
//!
//! ```text
//! <prefix>/o/log/0000000001/00000000000000000042    an object
//! <prefix>/format                                   what this is, and a random id
//! ```
//!
//! | verb   | what is sent                                                             |
//! |--------|--------------------------------------------------------------------------|
//! | create | `PutObject` with `If-None-Match: *`; a large one in parts, of which `CompleteMultipartUpload` has it |
//! | read   | `GetObject` of a range                                                   |
//! | list   | `ListObjectsV2` with `start-after`                                       |
//! | delete | `DeleteObjects`, a thousand at a time                                    |
//!
//! Of a create that is refused, 412 says that the name is taken; 409 that another create of it is
//! under way, so that it has to be asked again ([conditional writes]). Each request is tried once:
//! [`ResilientStore`](crate::storage::resilient::ResilientStore) tries again. Bytes are protected
//! on their way by the checksums of the SDK, and end to end by those of the format.
//!
//! | module   | what                                                     |
//! |----------|----------------------------------------------------------|
//! | `check`  | what a start looks at                                    |
//! | `upload` | objects in parts                                         |
//! | `errors` | errors of the service, and what each means to the engine |
//!
//! [conditional writes]: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html

mod check;
mod errors;
mod upload;

use super::aws::{self, SetUp};
use super::fault::{Fault, in_time};
use super::landmark::Landmark;
use super::{Created, LIST_NAMES_MAX, Limits, Store, StoreError, StoreFuture};
use crate::config::{S3Address, YesNo};
use crate::rope::Rope;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Names of one request to delete; the service knows no more.
const DELETE_NAMES_MAX: usize = 1000;

/// A larger object goes up in parts of this size: one that is lost costs no more to repeat, and
/// no more of the object than what is on its way is in memory twice.
const PART_BYTES: usize = 16 << 20;

/// How S3 is used.
#[derive(Debug, Clone, Copy)]
pub struct S3Options {
    /// How long one request may take to get a connection.
    pub connect_timeout: Duration,
    /// How long a start tries to reach it.
    pub start_deadline: Duration,
    /// Randomness: what is written by this store is known by it.
    pub entropy: u128,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            start_deadline: Duration::from_secs(10),
            entropy: 0,
        }
    }
}

/// A store in a bucket.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    prefix: String,
    warnings: Vec<String>,
    /// What a start has seen, where one has.
    seen: Option<Arc<Landmark>>,
}

impl S3Store {
    /// Opens the store: checks that the bucket can be one, and only then writes the object that
    /// says that this is a store of aft, if it isn't there.
    ///
    /// # Errors
    /// `Unavailable` if it couldn't be reached in time, `Fatal` if it can't be used as it is; the
    /// message says what to do.
    pub async fn open(address: &S3Address, options: S3Options) -> Result<Self, StoreError> {
        let mut store = Self::new(address, options).await?;
        let making = || check::make_usable(&store, options.entropy);
        let found = in_time(options.start_deadline, making).await?;
        store.warnings = found.warnings;
        store.seen = Some(Arc::new(Landmark::new(found.format, "bucket")));
        Ok(store)
    }

    /// Opens what is there for a look: nothing is written.
    ///
    /// # Errors
    /// As of [`S3Store::open`]; also if there is no store.
    pub async fn look(address: &S3Address, options: S3Options) -> Result<Self, StoreError> {
        let store = Self::new(address, options).await?;
        in_time(options.start_deadline, || check::whether_there(&store)).await?;
        Ok(store)
    }

    async fn new(address: &S3Address, options: S3Options) -> Result<Self, StoreError> {
        Ok(Self {
            client: connect(address, options.connect_timeout).await.map_err(StoreError::Fatal)?,
            bucket: address.bucket.clone(),
            prefix: format!("{}/o/", address.prefix),
            warnings: Vec::new(),
            seen: None,
        })
    }

    /// What its owner should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The key of the object that says what this is.
    fn format_key(&self) -> String {
        format!("{}/format", self.prefix.trim_end_matches("/o/"))
    }

    /// Sends a request to what the start has seen, and to nothing else.
    async fn ask<T>(&self, request: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        match &self.seen {
            Some(landmark) => landmark.behind(check::look_at_format(self), request).await,
            None => request.await,
        }
    }

    fn key(&self, name: &str) -> Result<String, Fault> {
        if !aws::is_plain(name) {
            return Err(Fault::Object(format!("{name:?} can't be part of a key")));
        }
        Ok(format!("{}{name}", self.prefix))
    }

    async fn create_once(&self, name: &str, object: Rope) -> Result<Created, Fault> {
        let key = self.key(name)?;
        aws::check_size(&object)?;
        if object.len() > PART_BYTES {
            return upload::in_parts(self, key, &object).await;
        }
        self.put_if_new(key, object.to_bytes()).await
    }

    async fn put_if_new(&self, key: String, bytes: Bytes) -> Result<Created, Fault> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
        match put.body(ByteStream::from(bytes)).send().await {
            Ok(_) => Ok(Created::Created),
            Err(error) => errors::taken(error),
        }
    }

    async fn read_once(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let found = match self.key(name) {
            Ok(key) => self.ask(self.get(key, offset, length)).await?,
            // So it was never created.
            Err(_) => None,
        };
        found.ok_or(StoreError::NotFound)
    }

    /// A range of an object, if there is one.
    async fn get(&self, key: String, offset: u64, length: u64) -> Result<Option<Bytes>, Fault> {
        // There is no range of nothing, and of a HEAD that fails nobody learns why.
        let last = match offset.checked_add(length.max(1) - 1) {
            Some(last) if length < u64::MAX && last < i64::MAX as u64 => last.to_string(),
            _ => String::new(),
        };
        // A server that reads numbers as signed would take a larger one for nonsense.
        let range = format!("bytes={}-{last}", offset.min(i64::MAX as u64));
        let get = self.client.get_object().bucket(&self.bucket).key(key).range(range);
        let found = match get.send().await {
            Ok(found) => found,
            Err(error) => return errors::missing(error),
        };
        let is_range = found.content_range().is_some();
        let body = found.body.collect().await;
        let body = body.map_err(|error| Fault::Passing(aws::errors::chain(&error)))?.into_bytes();
        // A server may answer with the whole object instead.
        let start = if is_range { 0 } else { offset.min(body.len() as u64) };
        let end = start.saturating_add(length).min(body.len() as u64);
        Ok(Some(body.slice(start as usize..end as usize)))
    }

    async fn list_once(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Fault> {
        let limit = limit.min(LIST_NAMES_MAX);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let start_after = (!after.is_empty()).then(|| format!("{}{after}", self.prefix));
        let mut names: Vec<String> = Vec::new();
        let mut token = None;
        loop {
            let left = (limit - names.len()) as i32;
            let list = self.client.list_objects_v2().bucket(&self.bucket);
            let list = list.prefix(format!("{}{prefix}", self.prefix)).max_keys(left);
            let list = list.set_start_after(start_after.clone()).set_continuation_token(token);
            let page = list.send().await?;
            let objects = page.contents.unwrap_or_default().into_iter();
            let keys = objects.filter_map(|object| object.key);
            names.extend(keys.filter_map(|key| Some(key.strip_prefix(&self.prefix)?.to_owned())));
            let in_order = names.first().is_none_or(|first| first.as_str() > after)
                && names.is_sorted_by(|one, next| one < next);
            if !in_order {
                let why = "this server does not list in order, as a directory bucket doesn't: use \
                           a general purpose bucket";
                return Err(Fault::Foreign(why.to_owned()));
            }
            // The service may answer with fewer than there are.
            token = page.next_continuation_token;
            if names.len() >= limit || page.is_truncated != Some(true) {
                return Ok(names);
            }
            if token.is_none() {
                return Err(Fault::Passing("a listing that ends in the middle".to_owned()));
            }
        }
    }

    async fn delete_once(&self, names: &[String]) -> Result<(), Fault> {
        // A name that can't be part of a key was never created.
        let keys: Vec<String> = names.iter().filter_map(|name| self.key(name).ok()).collect();
        for keys in keys.chunks(DELETE_NAMES_MAX) {
            self.delete_keys(keys).await?;
        }
        Ok(())
    }

    async fn delete_keys(
        &self,
        keys: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<(), Fault> {
        let objects = keys.into_iter().map(|key| ObjectIdentifier::builder().key(key).build());
        let objects = objects.collect::<Result<Vec<_>, _>>().map_err(errors::of_request)?;
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build();
        let delete = delete.map_err(errors::of_request)?;
        let request = self.client.delete_objects().bucket(&self.bucket).delete(delete);
        let failed = request.send().await?.errors.unwrap_or_default();
        match failed.into_iter().find(|error| error.code() != Some("NoSuchKey")) {
            None => Ok(()),
            Some(error) => Err(errors::of_code(
                error.code().unwrap_or_default(),
                error.message().unwrap_or_default(),
            )),
        }
    }
}

/// A client for this bucket.
async fn connect(address: &S3Address, connect_timeout: Duration) -> Result<Client, String> {
    let SetUp { config, endpoint } = aws::set_up(&address.aws, "S3", connect_timeout).await?;
    let path_style = address.path_style.map_or(endpoint.is_some(), |yes| yes == YesNo::Yes);
    let mut config = aws_sdk_s3::config::Builder::from(&config).force_path_style(path_style);
    if endpoint.is_some() {
        config.set_endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

impl Store for S3Store {
    fn limits(&self) -> Limits {
        Limits {
            object_bytes_max: aws::OBJECT_BYTES_MAX,
            group_bytes_useful: 8 << 20,
            // Each takes some 30 ms, and what comes meanwhile waits for the next.
            creates_in_flight: 16,
            // What comes in the time that another request takes.
            read_gap_bytes: 1 << 20,
            frees_in_order: false,
            shows_at_once: false,
            survives_process: true,
        }
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        self.create_in_pieces(name, object.into())
    }

    fn create_in_pieces<'a>(&'a self, name: &'a str, object: Rope) -> StoreFuture<'a, Created> {
        Box::pin(async move { Ok(self.ask(self.create_once(name, object)).await?) })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        Box::pin(self.read_once(name, offset, length))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move { Ok(self.ask(self.list_once(prefix, after, limit)).await?) })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        Box::pin(async move { Ok(self.ask(self.delete_once(names)).await?) })
    }
}
