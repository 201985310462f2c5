//! A redis-server, and aft.

use std::net::SocketAddr;

use crate::Result;
use crate::connection::Connection;
use crate::history_support::record::CommitId;
use crate::play::{Began, Client};

/// Operations as they are.
#[derive(Debug)]
pub(crate) struct Plain {
    address: SocketAddr,
    connection: Connection,
}

impl Plain {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        Ok(Self { address, connection: Connection::open(address).await? })
    }
}

impl Client for Plain {
    const ALL_AT_ONCE: bool = false;

    async fn read(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        get_all(&mut self.connection, keys).await
    }

    async fn write(&mut self, key: &str, value: Vec<u8>) -> Result<()> {
        self.connection.ask(&[b"SET", key.as_bytes(), &value]).await?;
        Ok(())
    }

    async fn crash(&mut self) -> Result<()> {
        *self = Self::connect(self.address).await?;
        Ok(())
    }
}

async fn get_all(connection: &mut Connection, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
    let mut values = Vec::new();
    for key in keys {
        let value = connection.ask(&[b"GET", key.as_bytes()]).await?;
        values.push(value.map(|value| value.to_vec()));
    }
    Ok(values)
}

/// A transaction, which the functions join.
#[derive(Debug)]
pub(crate) struct Aft {
    address: SocketAddr,
    /// Of the first function, and of the others.
    connections: [Connection; 2],
    function: usize,
    token: Vec<u8>,
}

impl Aft {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let connections = [Connection::open(address).await?, Connection::open(address).await?];
        Ok(Self { address, connections, function: 0, token: Vec::new() })
    }

    fn connection(&mut self) -> &mut Connection {
        &mut self.connections[self.function]
    }

    async fn commit_of(&mut self, arguments: &[&[u8]]) -> Result<Option<CommitId>> {
        let said = self.connection().ask(arguments).await?.unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let id = CommitId::parse(&said);
        id.map(Some).ok_or_else(|| format!("the commit {said:?}").into())
    }
}

impl Client for Aft {
    const ALL_AT_ONCE: bool = true;
    const REMEMBERS: bool = true;

    async fn begin(&mut self, request: &str) -> Result<Began> {
        self.function = 0;
        let words = [&b"AFT.BEGIN"[..], b"REQUEST", request.as_bytes()];
        let told = self.connection().ask_list(&words).await?;
        let [Some(token), Some(state), _] = told.as_slice() else {
            return Err(format!("AFT.BEGIN answered {told:?}").into());
        };
        match &state[..] {
            b"begun" => {
                self.token = token.to_vec();
                Ok(Began::Attempt)
            }
            b"committed" => Ok(Began::Before(self.commit_of(&[b"AFT.COMMIT", token]).await?)),
            other => Err(format!("AFT.BEGIN answered {}", other.escape_ascii()).into()),
        }
    }

    async fn go_on(&mut self) -> Result<()> {
        self.connection().ask(&[b"AFT.LEAVE"]).await?;
        self.function = 1;
        let token = self.token.clone();
        self.connection().ask(&[b"AFT.JOIN", &token]).await?;
        Ok(())
    }

    async fn read(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        get_all(self.connection(), keys).await
    }

    async fn write(&mut self, key: &str, value: Vec<u8>) -> Result<()> {
        self.connection().ask(&[b"SET", key.as_bytes(), &value]).await?;
        Ok(())
    }

    async fn commit(&mut self) -> Result<Option<CommitId>> {
        self.commit_of(&[b"AFT.COMMIT"]).await
    }

    async fn crash(&mut self) -> Result<()> {
        *self = Self::connect(self.address).await?;
        Ok(())
    }
}
