//! A table of DynamoDB: operations as they are, and its transactions.

use aws_sdk_dynamodb::Client as Service;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, Get, KeySchemaElement, KeyType, Put,
    ScalarAttributeType, TransactGetItem, TransactWriteItem,
};
use std::collections::HashMap;
use std::net::SocketAddr;

use crate::Result;
use crate::history_support::record::CommitId;
use crate::play::{Began, Client};

const TABLE: &str = "functions";
const KEY: &str = "k";
const VALUE: &str = "v";

/// Connects to it and makes the table.
pub(crate) async fn set_up(address: SocketAddr) -> Result<Service> {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{address}"))
        .credentials_provider(Credentials::new("test", "test", None, None, "benchmark"))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    let service = Service::from_conf(config.build());
    let key = KeySchemaElement::builder().attribute_name(KEY).key_type(KeyType::Hash).build()?;
    let kind = AttributeDefinition::builder().attribute_name(KEY);
    let create = service.create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    let create = create
        .key_schema(key)
        .attribute_definitions(kind.attribute_type(ScalarAttributeType::S).build()?);
    create.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
    Ok(service)
}

type Item = HashMap<String, AttributeValue>;

fn key_of(key: &str) -> Item {
    HashMap::from([(KEY.to_owned(), AttributeValue::S(key.to_owned()))])
}

fn item_of(key: &str, value: Vec<u8>) -> Item {
    let mut item = key_of(key);
    item.insert(VALUE.to_owned(), AttributeValue::B(Blob::new(value)));
    item
}

fn value_in(item: Option<Item>) -> Result<Option<Vec<u8>>> {
    match item.map(|mut item| item.remove(VALUE)) {
        None => Ok(None),
        Some(Some(AttributeValue::B(bytes))) => Ok(Some(bytes.into_inner())),
        Some(other) => Err(format!("a value that is {other:?}").into()),
    }
}

/// GetItem and PutItem.
#[derive(Clone, Debug)]
pub(crate) struct Plain(pub(crate) Service);

impl Client for Plain {
    const ALL_AT_ONCE: bool = false;

    async fn read(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut values = Vec::new();
        for key in keys {
            let get = self.0.get_item().table_name(TABLE).set_key(Some(key_of(key)));
            let got = get.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
            values.push(value_in(got.item)?);
        }
        Ok(values)
    }

    async fn write(&mut self, key: &str, value: Vec<u8>) -> Result<()> {
        let put = self.0.put_item().table_name(TABLE).set_item(Some(item_of(key, value)));
        put.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
        Ok(())
    }
}

/// A function reads by one TransactGetItems, and all is written by one TransactWriteItems: there
/// is no transaction that goes on from one call to the next.
#[derive(Debug)]
pub(crate) struct Transactions {
    service: Service,
    writes: Vec<TransactWriteItem>,
}

/// How often one is repeated that met another one.
const ATTEMPTS_MAX: usize = 1000;

impl Transactions {
    pub(crate) fn new(service: Service) -> Self {
        Self { service, writes: Vec::new() }
    }
}

impl Client for Transactions {
    const ALL_AT_ONCE: bool = true;
    const READS_THEN_WRITES: bool = true;

    async fn begin(&mut self, _: &str) -> Result<Began> {
        self.writes.clear();
        Ok(Began::Attempt)
    }

    async fn read(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        let get = |key: &String| -> Result<TransactGetItem> {
            let get = Get::builder().table_name(TABLE).set_key(Some(key_of(key))).build()?;
            Ok(TransactGetItem::builder().get(get).build())
        };
        let gets: Vec<TransactGetItem> = keys.iter().map(get).collect::<Result<_>>()?;
        for _ in 0..ATTEMPTS_MAX {
            let get = self.service.transact_get_items().set_transact_items(Some(gets.clone()));
            match get.send().await {
                Ok(got) => {
                    let items = got.responses.unwrap_or_default();
                    return items.into_iter().map(|response| value_in(response.item)).collect();
                }
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|error| error.is_transaction_canceled_exception()) => {}
                Err(error) => return Err(DisplayErrorContext(error).to_string().into()),
            }
        }
        Err("a transaction met others again and again".into())
    }

    async fn write(&mut self, key: &str, value: Vec<u8>) -> Result<()> {
        let put = Put::builder().table_name(TABLE).set_item(Some(item_of(key, value))).build()?;
        self.writes.push(TransactWriteItem::builder().put(put).build());
        Ok(())
    }

    async fn commit(&mut self) -> Result<Option<CommitId>> {
        if self.writes.is_empty() {
            return Ok(None);
        }
        for _ in 0..ATTEMPTS_MAX {
            let items = Some(self.writes.clone());
            match self.service.transact_write_items().set_transact_items(items).send().await {
                Ok(_) => return Ok(None),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|error| error.is_transaction_canceled_exception()) => {}
                Err(error) => return Err(DisplayErrorContext(error).to_string().into()),
            }
        }
        Err("a transaction met others again and again".into())
    }

    async fn crash(&mut self) -> Result<()> {
        self.writes.clear();
        Ok(())
    }
}
