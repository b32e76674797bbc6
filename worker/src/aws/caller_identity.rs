//! Who the process is to AWS. The only module that knows aws-sdk-sts; it decides nothing.

use aws_config::SdkConfig;
use aws_sdk_sts::Client;
use tokio::sync::OnceCell;

use crate::process::error_chain::with_causes;
use crate::request::Arn;

/// STS did not say who calls.
#[derive(Debug, Clone, thiserror::Error)]
#[error("GetCallerIdentity: {0}")]
pub(crate) struct CallerIdentityError(String);

/// Who calls, as STS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallerIdentity {
    /// The account.
    pub(crate) account: String,
    /// `arn:<partition>:sts::<account>:assumed-role/…`, `arn:<partition>:iam::<account>:user/…` or `…:root`.
    pub(crate) arn: String,
    /// Of a role its id and the session's name: `AROA…:session`; of a user the user's id; of the root the account.
    pub(crate) user_id: String,
}

impl CallerIdentity {
    /// The partition: `aws`, `aws-cn`, `aws-us-gov`.
    pub(crate) fn partition(&self) -> &str {
        Arn::parse(&self.arn).map_or("", |arn| arn.partition)
    }

    /// Whether a message with this `SenderId` was sent by the same role, in any of its sessions; or by the same user, or
    /// by the same account's root. Source: `ReceiveMessage` in the API reference of SQS.
    pub(crate) fn is_sender(&self, sender_id: &str) -> bool {
        if self.arn.ends_with(":root") {
            return sender_id == self.account;
        }
        let unique_id = |id: &str| id.split(':').next().unwrap_or_default().to_owned();
        let own = unique_id(&self.user_id);
        !own.is_empty() && unique_id(sender_id) == own
    }
}

/// Asks STS once; what is read serves for the life of the process, as a role keeps its id.
#[derive(Debug)]
pub(crate) struct Identities {
    client: Client,
    known: OnceCell<CallerIdentity>,
}

impl Identities {
    /// Calls STS with the SDK's configuration.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self {
            client: Client::new(config),
            known: OnceCell::new(),
        }
    }

    /// Who the process is.
    ///
    /// # Errors
    /// [`CallerIdentityError`], where STS does not answer; the next call asks again.
    pub(crate) async fn own(&self) -> Result<&CallerIdentity, CallerIdentityError> {
        self.known
            .get_or_try_init(|| async {
                let answer = self.client.get_caller_identity().send().await;
                let answer = answer.map_err(|error| CallerIdentityError(with_causes(&error)))?;
                let missing = || CallerIdentityError("an answer without an identity".to_owned());
                Ok(CallerIdentity {
                    account: answer.account.ok_or_else(missing)?,
                    arn: answer.arn.ok_or_else(missing)?,
                    user_id: answer.user_id.ok_or_else(missing)?,
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(arn: &str, user_id: &str) -> CallerIdentity {
        CallerIdentity {
            account: "123456789012".to_owned(),
            arn: arn.to_owned(),
            user_id: user_id.to_owned(),
        }
    }

    #[test]
    fn a_role_is_the_sender_in_every_session_and_no_other_is() {
        let role = identity(
            "arn:aws:sts::123456789012:assumed-role/worker/task-1",
            "AROAWORKER:task-1",
        );
        assert!(role.is_sender("AROAWORKER:task-2"));
        // SNS's own, another role, the account, a name that begins like the id.
        for other in [
            "AIDAIT2UOQQY3AUEKVGXU",
            "AROAOTHER:task-1",
            "123456789012",
            "AROAWORKER2:task-1",
            "task-1",
            "",
            ":task-1",
        ] {
            assert!(!role.is_sender(other), "{other}");
        }
        let user = identity("arn:aws:iam::123456789012:user/u", "AIDAUSER");
        assert!(user.is_sender("AIDAUSER"));
        assert!(!user.is_sender("123456789012"));
        let root = identity("arn:aws:iam::123456789012:root", "123456789012");
        assert!(root.is_sender("123456789012"));
        assert!(!root.is_sender("AIDAUSER"));
        let nothing = identity("arn:aws:iam::123456789012:user/u", "");
        assert!(!nothing.is_sender(""));
    }
}
