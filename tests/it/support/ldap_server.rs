//! A directory that PostgreSQL asks by LDAP whether a password is right. It stands for what RDS asks about a token: the
//! password goes there as the client sent it.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::listener;

/// LDAP's result codes.
const SUCCESS: u8 = 0;
const INVALID_CREDENTIALS: u8 = 49;

/// It ends with the test.
pub(crate) struct LdapServer {
    port: u16,
    passwords: Arc<Mutex<Vec<String>>>,
}

impl LdapServer {
    /// One that takes the passwords for which `is_right` holds.
    pub(crate) async fn start(is_right: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let passwords: Arc<Mutex<Vec<String>>> = Arc::default();
        let received = Arc::clone(&passwords);
        let is_right = Arc::new(is_right);
        let serve = move |stream| answer(stream, Arc::clone(&received), Arc::clone(&is_right));
        let port = listener::serve(serve).await;
        Self { port, passwords }
    }

    /// The options of `ldap` in pg_hba.conf.
    pub(crate) fn options(&self) -> String {
        format!(
            "ldapserver=127.0.0.1 ldapport={} ldapprefix=\"uid=\"",
            self.port
        )
    }

    /// What it was asked about so far.
    pub(crate) fn passwords(&self) -> Vec<String> {
        self.passwords.lock().unwrap().clone()
    }
}

/// A bind, and whatever comes after it is the end.
async fn answer(
    mut stream: TcpStream,
    passwords: Arc<Mutex<Vec<String>>>,
    is_right: Arc<impl Fn(&str) -> bool>,
) {
    // LDAPMessage: a number, and BindRequest: version, name, password.
    let message = element(&mut stream).await;
    let mut message = message.as_slice();
    let number = element(&mut message).await;
    let request = element(&mut message).await;
    let mut request = request.as_slice();
    let _version = element(&mut request).await;
    let _name = element(&mut request).await;
    let password = String::from_utf8(element(&mut request).await).unwrap();
    let code = if is_right(&password) {
        SUCCESS
    } else {
        INVALID_CREDENTIALS
    };
    passwords.lock().unwrap().push(password);
    // BindResponse: the code, no name and no text.
    let mut response = vec![0x0a, 1, code, 0x04, 0, 0x04, 0];
    response = [vec![0x61, response.len() as u8], response].concat();
    response = [vec![0x02, number.len() as u8], number, response].concat();
    response = [vec![0x30, response.len() as u8], response].concat();
    stream.write_all(&response).await.unwrap();
    // It is the client that closes.
    drop(stream.read(&mut [0; 64]).await);
}

/// The content of the next element in BER.
async fn element(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let _tag = from.read_u8().await.unwrap();
    let mut length = u64::from(from.read_u8().await.unwrap());
    if length >= 0x80 {
        let bytes = length - 0x80;
        length = 0;
        for _ in 0..bytes {
            length = length << 8 | u64::from(from.read_u8().await.unwrap());
        }
    }
    let mut content = vec![0; usize::try_from(length).unwrap()];
    from.read_exact(&mut content).await.unwrap();
    content
}
