//! Where a Redis is.

use super::{decode, encode, encode_option, without_password};
use crate::config::value::{MASK, Secret};
use std::fmt;
use std::path::PathBuf;

/// Where a Redis is, and as whom to enter it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisAddress {
    /// Its host and port; of a cluster, one or more of its nodes.
    pub nodes: Vec<(String, u16)>,
    /// Whether it is a Redis Cluster.
    pub cluster: bool,
    /// Whether to speak TLS.
    pub tls: bool,
    /// The ACL user; the default one without.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The number of the database.
    pub database: u16,
    /// What all keys begin with, so that several can share a Redis.
    pub prefix: String,
    /// Certificates of the authorities that may vouch for it, in PEM; the system's without.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show, in PEM.
    pub cert_file: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    pub key_file: Option<PathBuf>,
}

impl RedisAddress {
    const PORT: u16 = 6379;
    const PREFIX: &str = "aft";

    pub(super) fn parse(scheme: &str, text: &str) -> Result<Self, String> {
        let (text, options) = text.split_once('?').unwrap_or((text, ""));
        let (credentials, text) = match text.rsplit_once('@') {
            Some((credentials, text)) => (Some(credentials), text),
            None => (None, text),
        };
        let (hosts, path) = text.split_once('/').unwrap_or((text, ""));
        let mut address = Self {
            nodes: hosts.split(',').map(parse_node).collect::<Result<_, _>>()?,
            cluster: scheme.ends_with("-cluster"),
            tls: scheme.starts_with("rediss"),
            user: None,
            password: None,
            database: 0,
            prefix: Self::PREFIX.to_owned(),
            ca_file: None,
            cert_file: None,
            key_file: None,
        };
        if let Some(credentials) = credentials {
            address.take_credentials(credentials)?;
        }
        if !path.is_empty() {
            address.database = path
                .parse()
                .ok()
                .filter(|_| !path.starts_with('+'))
                .ok_or("behind the host stands the number of the database, such as /0")?;
        }
        for option in options.split('&').filter(|option| !option.is_empty()) {
            address.take_option(option)?;
        }
        address.check()?;
        Ok(address)
    }

    fn take_credentials(&mut self, credentials: &str) -> Result<(), String> {
        let wrong = "in user and password write %25 for %, %40 for @, %3A for : and %2F for /";
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        if !user.is_empty() {
            self.user = Some(decode(user).ok_or(wrong)?);
        }
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            // What --print-config shows must not become a password.
            let password = Some(password).filter(|password| *password != MASK);
            let password = password.and_then(decode).ok_or(wrong)?;
            self.password = Some(Secret::new(password));
        }
        if self.user.is_some() && self.password.is_none() {
            return Err("a user needs a password: user:password@host".to_owned());
        }
        Ok(())
    }

    fn take_option(&mut self, option: &str) -> Result<(), String> {
        let known = "the options of a Redis are prefix, ca, cert and key, such as ?prefix=shop";
        let (name, value) = option.split_once('=').ok_or(known)?;
        let value = decode(value).filter(|value| !value.is_empty()).ok_or(known)?;
        match name {
            "prefix" => self.prefix = value,
            "ca" => self.ca_file = Some(value.into()),
            "cert" => self.cert_file = Some(value.into()),
            "key" => self.key_file = Some(value.into()),
            _ => return Err(known.to_owned()),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        /// Every key begins with it, so it costs memory.
        const PREFIX_BYTES_MAX: usize = 64;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        if self.prefix.len() > PREFIX_BYTES_MAX || !self.prefix.bytes().all(plain) {
            return Err("a prefix is of letters, digits and -_.: and at most 64 long".to_owned());
        }
        if self.cluster && self.database != 0 {
            return Err("a Redis Cluster has database 0 only".to_owned());
        }
        if !self.cluster && self.nodes.len() > 1 {
            return Err("several nodes are a cluster: use redis-cluster://".to_owned());
        }
        if !self.tls && (self.ca_file.is_some() || self.cert_file.is_some()) {
            return Err("certificates need TLS: use rediss:// or rediss-cluster://".to_owned());
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err("a certificate needs its key: give both cert and key".to_owned());
        }
        Ok(())
    }

    pub(super) fn to_text(&self) -> String {
        let scheme = match (self.tls, self.cluster) {
            (false, false) => "redis",
            (true, false) => "rediss",
            (false, true) => "redis-cluster",
            (true, true) => "rediss-cluster",
        };
        let user = self.user.as_deref().map(encode).unwrap_or_default();
        let credentials = match &self.password {
            Some(password) => format!("{user}:{}@", encode(password.expose())),
            None => String::new(),
        };
        let nodes: Vec<String> = self.nodes.iter().map(show_node).collect();
        let database = match self.database {
            0 => String::new(),
            number => format!("/{number}"),
        };
        let files = [("ca", &self.ca_file), ("cert", &self.cert_file), ("key", &self.key_file)];
        let files = files
            .into_iter()
            .filter_map(|(name, file)| Some((name, file.as_ref()?.display().to_string())));
        let prefix = Some(("prefix", self.prefix.clone())).filter(|_| self.prefix != Self::PREFIX);
        let options: Vec<String> = prefix
            .into_iter()
            .chain(files)
            .map(|(name, value)| format!("{name}={}", encode_option(&value)))
            .collect();
        let options =
            if options.is_empty() { String::new() } else { format!("?{}", options.join("&")) };
        format!("{scheme}://{credentials}{}{database}{options}", nodes.join(","))
    }
}

/// Without a password.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.to_text()))
    }
}

fn parse_node(text: &str) -> Result<(String, u16), String> {
    let wrong =
        || "a Redis is at HOST or HOST:PORT, such as 127.0.0.1:6379 or [::1]:6379".to_owned();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            (host, digits.then(|| port.parse().ok()).flatten().ok_or_else(wrong)?)
        }
        _ => (text, RedisAddress::PORT),
    };
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let valid = match in_brackets {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(name),
    };
    if !valid || port == 0 {
        return Err(wrong());
    }
    Ok((in_brackets.unwrap_or(host).to_owned(), port))
}

fn show_node((host, port): &(String, u16)) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
