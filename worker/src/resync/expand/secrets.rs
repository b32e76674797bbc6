//! The servers of secrets that are named, and of secrets that a filter finds.

use super::{ExpandError, Found, LostTarget, server};
use crate::credentials::secrets::{SecretFilter, Secrets};
use crate::request::Databases;
use crate::response::reason;
use crate::resync::internal_message::{Cursor, Page, Server};
use crate::resync_protocol::{ResyncMessage, ResyncTarget};

/// Number of named secrets on a page.
const MAX_SECRETS: usize = 100;

/// Secrets that are adjacent in the list of targets.
pub(super) fn named(message: &ResyncMessage) -> Found {
    let mut found = Found {
        is_named: true,
        ..Found::default()
    };
    for target in message.targets.iter().take(MAX_SECRETS) {
        let ResyncTarget::Secret {
            id,
            databases,
            host,
            port,
        } = target
        else {
            break;
        };
        let databases = match databases {
            Databases::Named(names) => names.clone(),
            Databases::Default | Databases::All => Vec::new(),
        };
        // The name of a secret cannot contain a space.
        let mut key = id.clone();
        if let Some(host) = host {
            key.push_str(&format!(" at {host}"));
        }
        if let Some(port) = port {
            key.push_str(&format!(" port {port}"));
        }
        if !databases.is_empty() {
            key.push_str(&format!(" ({})", databases.join(", ")));
        }
        found.targets += 1;
        if found.servers.iter().any(|server| server.key == key) {
            continue;
        }
        found.servers.push(Server {
            host: host.as_ref().map(ToString::to_string),
            port: *port,
            databases,
            ..server(message, key, id.clone(), id.clone())
        });
    }
    found
}

/// A page of the secrets that the first target finds.
pub(super) async fn find(
    page: &Page,
    message: &ResyncMessage,
    secrets: &Secrets,
) -> Result<Found, ExpandError> {
    let (filter, what) = match message.targets.first() {
        Some(ResyncTarget::SecretPrefix(prefix)) => {
            let filter = SecretFilter::Prefix(prefix.clone());
            (filter, format!("secrets {prefix}*"))
        }
        Some(ResyncTarget::SecretTag { key, value }) => {
            let what = format!("secrets {key}={}", value.as_deref().unwrap_or("*"));
            let (key, value) = (key.clone(), value.clone());
            (SecretFilter::Tag { key, value }, what)
        }
        Some(
            ResyncTarget::Secret { .. }
            | ResyncTarget::Instances { .. }
            | ResyncTarget::Instance(_),
        )
        | None => {
            return Ok(Found::default());
        }
    };
    let token = match &page.from {
        Some(Cursor::Secrets(token)) => Some(token.clone()),
        Some(Cursor::Instances(_)) | None => None,
    };
    let published = |reason: String| Found {
        lost: vec![LostTarget::failed(what.clone(), reason)],
        targets: 1,
        ..Found::default()
    };
    match secrets.list(&filter, token).await {
        Ok((names, next)) => Ok(Found {
            targets: usize::from(next.is_none()),
            from: next.map(Cursor::Secrets),
            servers: names
                .into_iter()
                .map(|name| server(message, name.clone(), name.clone(), name))
                .collect(),
            filter: Some(what),
            ..Found::default()
        }),
        Err(error) if error.code.contains("AccessDenied") => Ok(published(
            reason::resync::of_forbidden_secret_list(&error.code),
        )),
        Err(error) if error.is_permanent() => Ok(published(reason::resync::of_secret_list(&error))),
        Err(error) => Err(ExpandError(error.to_string())),
    }
}
