//! The table: made where it is missing, and looked at before it is trusted with anything.

use super::items::{EVERYTHING, PARTITION, SORT, bytes_of, with_bytes};
use super::table::Table;
use super::{DynamoDbStore, errors};
use crate::storage::fault::Fault;
use crate::storage::{Created, aws, claim};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    TableDescription, TableStatus,
};
use bytes::Bytes;

/// What was found.
pub(super) struct Found {
    /// The item that says what this is.
    pub(super) format: Bytes,
    /// What the owner should know.
    pub(super) warnings: Vec<String>,
}

/// Makes the table, if there is none; whether it did.
pub(super) async fn make_table(table: &Table) -> Result<bool, Fault> {
    let attribute = |name: &str| {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        attribute.attribute_type(ScalarAttributeType::S).build().map_err(errors::of_request)
    };
    let element = |name: &str, kind| {
        let element = KeySchemaElement::builder().attribute_name(name);
        element.key_type(kind).build().map_err(errors::of_request)
    };
    let create = table.client.create_table().table_name(&table.name);
    let create = create
        .attribute_definitions(attribute(PARTITION)?)
        .attribute_definitions(attribute(SORT)?)
        .key_schema(element(PARTITION, KeyType::Hash)?)
        .key_schema(element(SORT, KeyType::Range)?)
        .billing_mode(BillingMode::PayPerRequest);
    match create.send().await {
        Ok(_) => Ok(true),
        Err(error) if errors::is_there(&error) => Ok(false),
        Err(error) => Err(errors::fault(error)),
    }
}

/// Whether the table can be used, now; what its owner should know.
pub(super) async fn whether_fit(table: &Table) -> Result<Vec<String>, Fault> {
    let describe = table.client.describe_table().table_name(&table.name);
    let answer = describe.send().await.map_err(errors::fault)?;
    let described = answer.table.ok_or_else(|| Fault::Passing("an empty description".into()))?;
    let status = described.table_status.clone().unwrap_or(TableStatus::Active);
    let name = &table.name;
    match status {
        TableStatus::Active | TableStatus::Updating => {}
        TableStatus::Creating => {
            return Err(Fault::Passing(format!("the table {name} is still being made")));
        }
        other => return Err(Fault::Refused(format!("the table {name} is in state {other}"))),
    }
    if !has_our_keys(&described) {
        return Err(Fault::Refused(format!(
            "the table {name} has other keys than those of aft (partition key {PARTITION}, sort key \
             {SORT}, both of type String): name another table, which aft store init makes"
        )));
    }
    let replicated = !described.replicas.unwrap_or_default().is_empty();
    let warning = "this table has replicas in other regions: use it from one region only, since two \
                   of them do not decide who was first";
    Ok(replicated.then(|| warning.to_owned()).into_iter().collect())
}

fn has_our_keys(table: &TableDescription) -> bool {
    let (types, keys) = (table.attribute_definitions(), table.key_schema());
    let is_key = |name: &str, kind: &KeyType| {
        let is_text = types.iter().any(|attribute| {
            attribute.attribute_name == name && attribute.attribute_type == ScalarAttributeType::S
        });
        is_text && keys.iter().any(|key| key.attribute_name == name && key.key_type == *kind)
    };
    keys.len() == 2 && is_key(PARTITION, &KeyType::Hash) && is_key(SORT, &KeyType::Range)
}

/// Tries every request in a form that changes nothing, and says that this is a store of aft, where
/// nothing says so yet.
pub(super) async fn make_usable(store: &DynamoDbStore, entropy: u128) -> Result<Found, Fault> {
    let warnings = whether_fit(&store.table).await?;
    store.table.query(store.keys.heads(0), EVERYTHING, 1, None).await?;
    let found = look_at_format(store).await?;
    store.table.delete(vec![store.keys.head("absent")]).await?;
    let is_new = found.is_none();
    let format = found.unwrap_or_else(|| claim::new(entropy));
    let put =
        async || store.table.put_if_new(with_bytes(store.keys.format(), format.clone())).await;
    // The second must be refused, or fences would hold nobody back.
    let (_, second) = (put().await?, put().await?);
    if second == Created::Created {
        if is_new {
            store.table.delete(vec![store.keys.format()]).await?;
        }
        return Err(aws::ignores_conditions());
    }
    // Another start may have been quicker.
    let there = look_at_format(store).await?;
    let format = there.ok_or_else(|| Fault::Passing("what was written does not show".into()))?;
    Ok(Found { format, warnings })
}

/// For who only reads: the store has to be there already.
pub(super) async fn whether_there(store: &DynamoDbStore) -> Result<(), Fault> {
    match look_at_format(store).await? {
        Some(_) => Ok(()),
        None => Err(Fault::Refused(
            "there is no store of aft: the table has no item that says so under this prefix"
                .to_owned(),
        )),
    }
}

/// What says now what this is.
pub(super) async fn look_at_format(store: &DynamoDbStore) -> Result<Option<Bytes>, Fault> {
    let found = store.table.get(vec![store.keys.format()], None, true).await?;
    let Some(mut item) = found.into_values().next() else {
        return Ok(None);
    };
    claim::checked(bytes_of(&mut item), "what the table holds").map(Some)
}
