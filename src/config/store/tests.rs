use super::*;

fn redis(text: &str) -> RedisAddress {
    match text.parse() {
        Ok(Store::Redis(address)) => *address,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_redis_is_a_host_and_what_else_is_needed() {
    let plain = redis("redis://cache");
    assert_eq!(plain.nodes, [("cache".to_owned(), 6379)]);
    assert_eq!((plain.tls, plain.cluster, plain.database), (false, false, 0));
    assert_eq!((plain.user, plain.password, plain.prefix.as_str()), (None, None, "aft"));

    let full = redis("rediss://me:p%40ss%3Aw@[::1]:7000/3?prefix=shop&ca=/a%20b.pem");
    assert_eq!(full.nodes, [("::1".to_owned(), 7000)]);
    assert_eq!((full.tls, full.database, full.prefix.as_str()), (true, 3, "shop"));
    assert_eq!(full.user.as_deref(), Some("me"));
    assert_eq!(full.password.map(|password| password.expose().to_owned()).unwrap(), "p@ss:w");
    assert_eq!(full.ca_file, Some("/a b.pem".into()));

    let cluster = redis("redis-cluster://:pw@a:1,b,c:3");
    let nodes = [("a", 1), ("b", 6379), ("c", 3)].map(|(host, port)| (host.to_owned(), port));
    assert!(cluster.cluster);
    assert_eq!(cluster.nodes, nodes);
}

#[test]
fn its_text_reads_back_and_shows_no_password() {
    for text in [
        "redis://h:1",
        "redis://:secr%C3%A9t@h:1/15?prefix=a.b",
        "rediss-cluster://u:secr%25t@[::1]:1,h:2?ca=/ca&cert=/cert&key=/key",
    ] {
        let store: Store = text.parse().unwrap();
        assert_eq!(store.to_text(), text);
        assert!(!store.shown().contains("secr"), "{}", store.shown());
        assert!(!format!("{store:?}").contains("secr"), "{store:?}");
        assert_eq!(text.contains('@'), store.shown().parse::<Store>().is_err(), "a mask");
    }
    assert_eq!(without_password("redis://u:a/b@c@h:1"), "redis://u:********@h:1");
    for text in
        ["s3://id:secret@b", "s3://b?endpoint=http://a:secret@h", "s3://b?endpoint=a:secret%40h"]
    {
        assert!(!without_password(text).contains("secret"), "{text}");
    }
}

#[test]
fn what_is_wrong_with_it_is_said() {
    for (text, advice) in [
        ("redis:h:1", "use 'embedded:DIR'"),
        ("redis://", "HOST:PORT"),
        ("redis://h:", "HOST:PORT"),
        ("redis://h:70000", "HOST:PORT"),
        ("redis://h:0", "HOST:PORT"),
        ("redis://::1", "[::1]:6379"),
        ("redis://h/one", "number of the database"),
        ("redis://h/+1", "number of the database"),
        ("redis://u@h", "a user needs a password"),
        ("redis://:%4@h", "%25 for %"),
        ("redis://:%FF@h", "%25 for %"),
        ("redis://a,b", "use redis-cluster://"),
        ("redis-cluster://a/1", "database 0 only"),
        ("redis://h?prefix={a}", "a prefix is of"),
        ("redis://h?prefix=", "prefix, ca, cert and key"),
        ("redis://h?db=3", "prefix, ca, cert and key"),
        ("redis://h?ca=x", "use rediss://"),
        ("rediss://h?cert=x", "both cert and key"),
        ("dynamodb:table", "use 'embedded:DIR'"),
        ("dynamodb://", "the name of a table"),
        ("dynamodb://key:secret@table", "credentials come from"),
        ("dynamodb://table/a/b", "a prefix is of"),
        ("dynamodb://table?reads=sometimes", "consistent or eventual"),
        ("dynamodb://table?path-style=no", "endpoint, region, profile"),
        ("dynamodb://table?endpoint=host:8000", "begins with http://"),
        ("s3:bucket", "use 'embedded:DIR'"),
        ("s3://", "the name of a bucket"),
        ("s3://key:secret@bucket", "credentials come from"),
        ("s3://bucket/a//b", "single / between"),
        ("s3://bucket/../b", "single / between"),
        ("s3://bucket/a%20b", "a prefix is of"),
        ("s3://bucket?endpoint=host:9000", "begins with http://"),
        ("s3://bucket//", "single / between"),
        ("s3://bucket/a//", "single / between"),
        ("s3://bucket--euc1-az1--x-s3", "general purpose bucket"),
        ("s3://bucket?endpoint=ftp://h", "begins with http://"),
        ("s3://bucket?endpoint=http://", "a host and a port follow"),
        ("s3://bucket?endpoint=http://h:99999", "invalid port"),
        ("s3://bucket?endpoint=http://me@h", "no credentials in the URL"),
        ("s3://bucket?endpoint=http://me:pw@h", "no credentials in the URL"),
        ("s3://bucket?endpoint=http://h%3Fa=b", "without ? and #"),
        ("s3://bucket?region=a&region=b", "region is there twice"),
        ("s3://bucket?region=%4", "%25 for %"),
        ("s3://bucket?region=%FF", "%25 for %"),
        ("s3://bucket?region=", "endpoint, region, profile"),
        ("s3://bucket?path-style=perhaps", "yes or no"),
        ("s3://bucket?endpont=x", "endpoint, region, profile"),
        ("http://h", "use 'embedded:DIR'"),
    ] {
        let said = text.parse::<Store>().unwrap_err();
        assert!(said.contains(advice), "{text}: {said}");
    }
}

#[test]
fn a_bucket_has_a_prefix_and_what_else_is_needed() {
    let s3 = |text: &str| match text.parse() {
        Ok(Store::S3(address)) => *address,
        other => panic!("{text}: {other:?}"),
    };
    let plain = s3("s3://my-bucket");
    assert_eq!((plain.bucket.as_str(), plain.prefix.as_str()), ("my-bucket", "aft"));
    assert_eq!((plain.path_style, &plain.aws), (None, &AwsAddress::default()));
    assert_eq!(s3("s3://my-bucket/"), plain);
    assert_eq!(s3("s3://my-bucket/aft/"), plain);
    let text = "s3://b.c/shop/eu?path-style=no&endpoint=http://[::1]:9000&region=eu-central-1\
                &profile=me&credentials=/run/a%26b&ca=/ca.pem";
    let full = s3(text);
    assert_eq!((full.bucket.as_str(), full.prefix.as_str()), ("b.c", "shop/eu"));
    assert_eq!(full.aws.credentials_file, Some("/run/a&b".into()));
    assert_eq!(full.path_style, Some(crate::config::YesNo::No));
    assert_eq!(Store::S3(Box::new(full)).to_text(), text);
    assert_eq!(Store::S3(Box::new(plain)).to_text(), "s3://my-bucket/aft");
}

#[test]
fn a_table_has_a_prefix_and_what_else_is_needed() {
    let table = |text: &str| match text.parse() {
        Ok(Store::DynamoDb(address)) => *address,
        other => panic!("{text}: {other:?}"),
    };
    let plain = table("dynamodb://my-table");
    assert_eq!((plain.table.as_str(), plain.prefix.as_str()), ("my-table", "aft"));
    assert_eq!((plain.reads, &plain.aws), (Reads::Consistent, &AwsAddress::default()));
    for same in ["dynamodb://my-table/", "dynamodb://my-table/aft?reads=consistent"] {
        assert_eq!(table(same), plain);
    }
    let text = "dynamodb://T.1/shop?reads=eventual&endpoint=http://[::1]:8000&region=eu-central-1\
                &profile=me&credentials=/run/a%26b&ca=/ca.pem";
    let full = table(text);
    assert_eq!((full.table.as_str(), full.prefix.as_str()), ("T.1", "shop"));
    assert_eq!((full.reads, full.aws.ca_file.is_some()), (Reads::Eventual, true));
    assert_eq!(Store::DynamoDb(Box::new(full)).to_text(), text);
    assert_eq!(Store::DynamoDb(Box::new(plain)).to_text(), "dynamodb://my-table/aft");
}
