//! The values of labels, few and known beforehand. A new one is one line.

/// The values of a label.
pub trait Label: Copy + 'static {
    /// Every value, in the order of [`Self::index`].
    const ALL: &'static [Self];
    /// The label's name in Prometheus.
    const NAME: &'static str;
    /// The dimension's name in CloudWatch; none where CloudWatch gets the sum alone, as each value costs.
    const DIMENSION: Option<&'static str>;
    /// Which of them it is.
    fn index(self) -> usize;
    /// As it is shown.
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
    /// What a message's handling came to. Each message that is begun has one.
    Outcome, "outcome", Some("Outcome");
    /// SUCCESS was answered.
    Succeeded = "succeeded",
    /// FAILED was answered.
    Failed = "failed",
    /// The request came after its deadline.
    Stale = "stale",
    /// The answer was refused for good: the stack waits for its timeout.
    Unanswered = "unanswered",
    /// Back to the queue, to come again later.
    ReturnedToQueue = "given_back",
    /// To the dead-letter queue.
    DeadLetter = "dead_letter",
    /// Cancelled, as another worker may have the message.
    LeaseLost = "lease_lost",
    /// Cancelled, as the worker stops.
    Cancelled = "cancelled",
    /// A bug.
    Panicked = "panicked",
}

label! {
    /// How the receiver of a response reacted.
    PutResult, "result", Some("Result");
    /// It has it.
    Accepted = "accepted",
    /// It never will take it.
    Refused = "refused",
    /// It may take it later.
    Busy = "busy",
    /// Nothing.
    NoAnswer = "no_answer",
}

label! {
    /// An operation of SQS.
    SqsCall, "operation", None;
    /// Up to ten messages.
    ReceiveMessage = "ReceiveMessage",
    /// Up to ten of them.
    DeleteMessageBatch = "DeleteMessageBatch",
    /// Up to ten of them.
    ChangeMessageVisibilityBatch = "ChangeMessageVisibilityBatch",
    /// A dead letter.
    SendMessage = "SendMessage",
    /// Servers of a re-sync.
    SendMessageBatch = "SendMessageBatch",
}

label! {
    /// How a re-sync found or left a database.
    ResyncState, "state", Some("State");
    /// As declared.
    InSync = "in_sync",
    /// It was not as declared, and now is.
    Repaired = "repaired",
    /// Not as declared.
    Drifted = "drifted",
    /// It could not be looked at, or not be made as declared.
    Failed = "failed",
    /// Nothing is declared for it.
    Unmanaged = "unmanaged",
    /// Nothing has to be done before an upgrade.
    Ready = "ready",
    /// Something has to be done before an upgrade.
    NeedsSteps = "needs_steps",
    /// An upgrade fails.
    Blocked = "blocked",
}
