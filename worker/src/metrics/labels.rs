//! Labels of metrics. Their values are few and known beforehand; a new value is one line.

/// The values of a label.
pub trait Label: Copy + 'static {
    /// Every value, in the order of [`Self::index`].
    const ALL: &'static [Self];
    /// The label's name in Prometheus.
    const NAME: &'static str;
    /// The dimension's name in CloudWatch. `None`: CloudWatch gets only the sum, as it charges for each value.
    const DIMENSION: Option<&'static str>;
    /// Position of the value in [`Self::ALL`].
    fn index(self) -> usize;
    /// Text of the value in metrics.
    fn as_str(self) -> &'static str;
}

macro_rules! label {
    ($(#[$doc:meta])* $label:ident, $name:literal, $dimension:expr; $($(#[$each:meta])* $value:ident = $text:literal,)+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $label {
            $($(#[$each])* $value,)+
        }

        impl Label for $label {
            const ALL: &'static [Self] = &[$(Self::$value),+];
            const NAME: &'static str = $name;
            const DIMENSION: Option<&'static str> = $dimension;

            fn index(self) -> usize {
                self as usize
            }

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }
    };
}

label! {
    /// The result of processing a message. Each message has one.
    Outcome, "outcome", Some("Outcome");
    /// A response SUCCESS was accepted.
    Succeeded = "succeeded",
    /// A response FAILED was accepted.
    Failed = "failed",
    /// The request arrived after its deadline.
    Stale = "stale",
    /// The response was refused for good; the stack waits for its timeout.
    Unanswered = "unanswered",
    /// The message was returned to the queue.
    ReturnedToQueue = "given_back",
    /// The message was moved to the dead-letter queue.
    DeadLetter = "dead_letter",
    /// Processing was cancelled, as another worker may have received the message.
    LeaseLost = "lease_lost",
    /// Processing was cancelled, as the worker stops.
    Cancelled = "cancelled",
    /// The handler panicked, which is a bug.
    Panicked = "panicked",
}

label! {
    /// The result of a PUT of a response.
    PutResult, "result", Some("Result");
    /// S3 accepted the response.
    Accepted = "accepted",
    /// S3 refused the response for good.
    Refused = "refused",
    /// S3 may accept the response later.
    Busy = "busy",
    /// S3 did not answer.
    NoAnswer = "no_answer",
}

label! {
    /// An operation of SQS.
    SqsCall, "operation", None;
    /// Receives up to ten messages.
    ReceiveMessage = "ReceiveMessage",
    /// Acknowledges up to ten messages.
    DeleteMessageBatch = "DeleteMessageBatch",
    /// Extends or ends the leases of up to ten messages.
    ChangeMessageVisibilityBatch = "ChangeMessageVisibilityBatch",
    /// Moves a message to the dead-letter queue.
    SendMessage = "SendMessage",
    /// Sends up to ten messages between workers, for the servers of a re-sync.
    SendMessageBatch = "SendMessageBatch",
}

label! {
    /// The result of a re-sync, or of a check before an upgrade, for a database.
    ResyncState, "state", Some("State");
    /// The database is as declared.
    InSync = "in_sync",
    /// The database was changed to what is declared.
    Repaired = "repaired",
    /// The database is not as declared.
    Drifted = "drifted",
    /// The database could not be compared, or not be repaired.
    Failed = "failed",
    /// Nothing is declared for the database.
    Unmanaged = "unmanaged",
    /// Nothing has to be done before an upgrade.
    Ready = "ready",
    /// Something has to be done before an upgrade.
    NeedsSteps = "needs_steps",
    /// The upgrade would fail.
    Blocked = "blocked",
}
