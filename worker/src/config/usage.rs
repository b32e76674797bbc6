//! Usage errors of the command line. clap quotes the value of a setting, which may be a password. These errors name the
//! flag, its variable and the valid values instead, and never quote a value.

use std::error::Error as _;
use std::num::{IntErrorKind, ParseIntError};

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Arg, Command};

/// Length of the longest flag that an error names.
const MAX_FLAG_BYTES: usize = 40;

/// Returns the same error without the values of settings. Help, version and the exit code are unchanged.
pub(super) fn without_values(error: Error, command: &Command) -> Error {
    let kind = error.kind();
    if matches!(
        kind,
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayVersion
    ) {
        return error;
    }
    let text = text(&error, command);
    Error::raw(
        kind,
        format!("{text}\n\nFor more information, try '--help'.\n"),
    )
}

fn text(error: &Error, command: &Command) -> String {
    let given = |kind| texts(error, kind);
    let setting = given(ContextKind::InvalidArg)
        .first()
        .map(|argument| named(argument, command))
        .unwrap_or_default();
    let right = given(ContextKind::ValidValue).join(", ");
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "clap may add to them: what is not known is not quoted"
    )]
    match error.kind() {
        ErrorKind::InvalidValue if right.is_empty() => format!("{setting}: needs a value"),
        ErrorKind::InvalidValue => format!("{setting}: must be one of {right}"),
        ErrorKind::ValueValidation => format!("{setting}: {}", fault(error)),
        ErrorKind::UnknownArgument if setting.is_empty() => "unexpected argument".to_owned(),
        ErrorKind::UnknownArgument => {
            let similar = given(ContextKind::SuggestedArg);
            let hint = similar
                .first()
                .map(|flag| format!("; did you mean {flag}?"))
                .unwrap_or_default();
            format!("{setting}: unknown flag{hint}")
        }
        ErrorKind::InvalidSubcommand => {
            let commands: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            format!("the command must be one of {}", commands.join(", "))
        }
        ErrorKind::MissingSubcommand => "a command is required".to_owned(),
        ErrorKind::ArgumentConflict => {
            let others = all_named(&given(ContextKind::PriorArg), command);
            match others.is_empty() || others == setting {
                true => format!("{setting}: may be given only once"),
                false => format!("{setting}: cannot be used with {others}"),
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = all_named(&given(ContextKind::InvalidArg), command);
            format!("required settings are missing: {missing}")
        }
        ErrorKind::TooManyValues | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("{setting}: wrong number of values")
        }
        ErrorKind::NoEquals => format!("{setting}: needs = before its value"),
        ErrorKind::InvalidUtf8 => "a setting is not UTF-8".to_owned(),
        _ => format!("{setting}: cannot be used like this"),
    }
}

fn texts(error: &Error, kind: ContextKind) -> Vec<String> {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "no other value holds what is named here"
    )]
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// The text of the value's parser, without the value.
fn fault(error: &Error) -> String {
    let Some(source) = error.source() else {
        return "has the wrong form".to_owned();
    };
    if let Some(number) = source.downcast_ref::<ParseIntError>() {
        let is_large = matches!(
            number.kind(),
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow
        );
        let fault = if is_large {
            "is out of range"
        } else {
            "must be a whole number"
        };
        return fault.to_owned();
    }
    let text = source.to_string();
    let values = texts(error, ContextKind::InvalidValue);
    let Some(value) = values.first().filter(|value| !value.is_empty()) else {
        return text;
    };
    // clap's own: "0 is not in 1..=1000".
    if let Some(rest) = text.strip_prefix(&format!("{value} is not in ")) {
        return format!("must be in {rest}");
    }
    if text.contains(value.as_str()) && value.len() > 2 {
        return "has the wrong form".to_owned();
    }
    text
}

fn all_named(arguments: &[String], command: &Command) -> String {
    let named: Vec<String> = arguments
        .iter()
        .map(|argument| named(argument, command))
        .collect();
    named.join(", ")
}

/// The flag with its variable, or a positional argument; empty if it may not be named.
fn named(argument: &str, command: &Command) -> String {
    if argument.starts_with('<') {
        return argument.to_owned();
    }
    let flag = argument.split([' ', '=']).next().unwrap_or_default();
    let is_flag = flag.len() <= MAX_FLAG_BYTES
        && flag.strip_prefix("--").is_some_and(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        });
    if !is_flag {
        return String::new();
    }
    match find(flag.trim_start_matches('-'), command).and_then(Arg::get_env) {
        Some(variable) => format!("{flag} ({})", variable.to_string_lossy()),
        None => flag.to_owned(),
    }
}

/// Finds a flag in the command or its subcommands. A flag has the same variable in each of them.
fn find<'a>(long: &str, command: &'a Command) -> Option<&'a Arg> {
    command
        .get_arguments()
        .find(|argument| argument.get_long() == Some(long))
        .or_else(|| {
            command
                .get_subcommands()
                .find_map(|command| find(long, command))
        })
}
