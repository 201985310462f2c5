//! Where a server is, as client libraries write it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fmt;
use std::str::FromStr;
use url::Url;

/// Where a server is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// All of it, with what only client libraries understand.
    url: Url,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) host: String,
    pub(super) port: u16,
    /// One database, if one was named.
    pub database: Option<u32>,
    pub(super) tls: bool,
}

impl ServerAddress {
    /// Takes a password, unless the address came with one.
    #[must_use]
    pub fn or_password(mut self, password: Option<String>) -> Self {
        self.password = self.password.or(password);
        self
    }

    /// The same as a URL, for whoever is to work in a transaction and needs to know nothing else:
    /// its token stands behind the user's name.
    pub fn url_inside(&self, token: &str) -> String {
        let mut url = self.url.clone();
        let user = self.user.as_deref().unwrap_or("default");
        // Libraries drop a user without a password; where none is asked for, any is right.
        let password = self.password.as_deref().unwrap_or("x");
        let named = url.set_username(&encoded(&format!("{user}~{token}")));
        // Both are refused only where there is no host.
        let _named = named.and_then(|()| url.set_password(Some(&encoded(password))));
        url.into()
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || {
            let form = "use redis://[user:password@]host[:port][/database]";
            format!("{form}, with / # ? @ and % in a password as %2F %23 %3F %40 %25")
        };
        let url = Url::parse(text).map_err(|error| format!("{error}: {}", usage()))?;
        let tls = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(usage()),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("no host is named")?;
        // An IPv6 address stands in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let database = match url.path().trim_start_matches('/') {
            "" => None,
            number => Some(number.parse().map_err(|_| format!("'{number}' is no database"))?),
        };
        let user = decoded(url.username())?;
        let password = url.password().map(decoded).transpose()?.flatten();
        let port = url.port().unwrap_or(6379);
        Ok(Self { user, password, host, port, database, tls, url })
    }
}

/// Without percent signs; `None` if it is empty.
fn decoded(text: &str) -> Result<Option<String>, String> {
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| "user and password are UTF-8".to_owned())?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

/// With percent signs, where a URL needs them.
fn encoded(text: &str) -> String {
    const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, &PLAIN).to_string()
}

/// Without the password.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_client_libraries_do() {
        let plain: ServerAddress = "redis://db.example".parse().unwrap();
        assert_eq!((&*plain.host, plain.port, plain.database), ("db.example", 6379, None));
        let full: ServerAddress = "rediss://me:p%40ss:w@[::1]:7000/3".parse().unwrap();
        assert_eq!((&*full.host, full.port, full.database), ("::1", 7000, Some(3)));
        assert_eq!((full.user.as_deref(), full.password.as_deref()), (Some("me"), Some("p@ss:w")));
        assert!(full.tls && full.to_string() == "rediss://::1:7000", "{full}");
        let default: ServerAddress = "redis://:secret@h/".parse().unwrap();
        assert_eq!((default.user, default.password.as_deref()), (None, Some("secret")));
        let options: ServerAddress = "redis://h/2?protocol=3".parse().unwrap();
        assert_eq!((&*options.host, options.database), ("h", Some(2)));
        for bad in ["h:1", "http://h", "redis://", "redis://h:x", "redis://h/a", "redis://%ff@h"] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_tells_of_the_transaction_and_of_all_that_it_told_before() {
        for (given, inside) in [
            ("redis://h", "redis://default~T:x@h"),
            ("redis://a%2541:%25@h/", "redis://a%2541~T:%25@h/"),
            ("redis://:p%40ss@h:1/3", "redis://default~T:p%40ss@h:1/3"),
            ("rediss://a%20b:w@[::1]/?x=y", "rediss://a%20b~T:w@[::1]/?x=y"),
        ] {
            let address: ServerAddress = given.parse().unwrap();
            assert_eq!(address.url_inside("T"), inside);
            assert_eq!(
                inside.parse::<ServerAddress>().unwrap().url_inside("U"),
                inside.replace("~T", "~T~U")
            );
        }
    }
}
