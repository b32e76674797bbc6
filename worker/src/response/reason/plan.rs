//! Reasons of declarations that cannot be planned.

use crate::extension::{ExtensionName, Version, VersionRequest};
use crate::plan::PlanError;
use crate::target::Target;

/// Why a declaration cannot be met; the SQLSTATE is the one with which PostgreSQL would have refused.
pub(crate) fn of_plan_error(
    plan_error: &PlanError,
    target: &Target,
    server_version: &str,
) -> String {
    match plan_error {
        PlanError::NotAvailable { name, suggestion } => {
            let hint = suggestion
                .as_ref()
                .map(|other| format!(" Did you mean \"{other}\"?"))
                .unwrap_or_default();
            format!(
                "Extension \"{name}\" is not available on {target} (PostgreSQL {server_version}).{hint} [0A000]"
            )
        }
        PlanError::NotAllowed {
            name,
            role,
            allowed,
        } => format!(
            "Extension \"{name}\": user \"{role}\" may not create it on {target}: it is not in rds.allowed_extensions \
             ({allowed}). Add it in the DB parameter group. [42501]"
        ),
        PlanError::NotInPolicy {
            name,
            forbidden,
            patterns,
        } => {
            let what = if name.means(forbidden) {
                "it".to_owned()
            } else {
                format!("\"{forbidden}\", which it requires,")
            };
            format!(
                "Extension \"{name}\" cannot be created on {target}: {what} is not among the extensions that the worker \
                 creates (WORKER_EXTENSIONS: {patterns}). Leave it out, or ask the worker's operator to allow it."
            )
        }
        PlanError::NoDropCascade { extension: None } => "DeletionBehavior: DropCascade is not allowed by the worker \
             (WORKER_ALLOW_DROP_CASCADE is false). Use DropUnused, Drop or Retain, or ask the worker's operator to allow it."
            .to_owned(),
        PlanError::NoDropCascade {
            extension: Some(name),
        } => format!(
            "Extension \"{name}\" is not dropped on {target}: DeletionBehavior DropCascade is not allowed by the worker \
             (WORKER_ALLOW_DROP_CASCADE is false). Change DeletionBehavior to DropUnused, Drop or Retain, or ask the \
             worker's operator to allow it."
        ),
        PlanError::OtherCronDatabase { cron_database } => format!(
            "Extension \"pg_cron\" can only be in database {cron_database} (cron.database_name), not on {target}. Declare it \
             there, or set the parameter in the DB parameter group and reboot the instance."
        ),
        PlanError::NoSuchVersion {
            name,
            asked,
            default,
            available,
        } => no_such_version(
            name,
            asked,
            default.as_ref(),
            available,
            target,
            server_version,
        ),
        PlanError::NoPath {
            name,
            installed,
            asked,
            reachable,
            can_create,
        } => {
            let reachable = match reachable.as_slice() {
                [] => "It cannot be updated to any other version.".to_owned(),
                versions => format!("It can be updated to: {}.", join(versions)),
            };
            let way_out = match can_create {
                true => " OnNoUpdatePath: Recreate drops it and creates it again, if nothing depends on it.",
                false => "",
            };
            format!(
                "Extension \"{name}\": there is no update path from the installed version {installed} to {asked} \
                 on {target} (PostgreSQL {server_version}). {reachable}{way_out} [22023]"
            )
        }
        PlanError::Downgrade {
            name,
            installed,
            asked,
        } => format!(
            "Extension \"{name}\": version {asked} is below the installed {installed} on {target}. Ask for \
             {installed}, or set AllowDowngrade: true."
        ),
        PlanError::MissingRequirements { name, missing } => format!(
            "Extension \"{name}\" requires {}, not installed on {target}. Declare it too, or leave Cascade at true. \
             [42704]",
            missing.join(", ")
        ),
        PlanError::FixedSchema { name, fixed, asked } => format!(
            "Extension \"{name}\" must be installed in schema {fixed}, not {asked}, on {target}: its control file says so. \
             Leave Schema out. [0A000]"
        ),
        PlanError::NotRelocatable {
            name,
            installed_in,
            asked,
        } => format!(
            "Extension \"{name}\" is installed in schema {installed_in} on {target} and cannot be moved to {asked}. \
             Set Schema: {installed_in}, or leave Schema out. [0A000]"
        ),
        PlanError::NoSchema { name, schema } => format!(
            "Extension \"{name}\": schema {schema} does not exist on {target}. Create it, or set CreateSchema: true. \
             [3F000]"
        ),
        PlanError::AbsentButRequired { name, by } => format!(
            "Extension \"{name}\" is declared absent, but \"{by}\", which is declared present, requires it. Change one \
             of them."
        ),
        PlanError::OwnedByAnother { name, owner } => {
            format!("Extension \"{name}\" is declared absent on {target}, but {owner} needs it.")
        }
    }
}

fn no_such_version(
    name: &ExtensionName,
    asked: &VersionRequest,
    default: Option<&Version>,
    available: &[Version],
    target: &Target,
    server_version: &str,
) -> String {
    let versions = join(available);
    match asked {
        _ if available.is_empty() => format!(
            "Extension \"{name}\" cannot be installed on {target} (PostgreSQL {server_version}): the server has a control file \
             of it, and no script. [22023]"
        ),
        VersionRequest::Unset | VersionRequest::Default if default.is_some() => format!(
            "Extension \"{name}\": its default version {} cannot be installed on {target} (PostgreSQL {server_version}), as the \
             server has no script of it. Available: {versions}. Ask for one of these. [22023]",
            default.map_or("", Version::as_str)
        ),
        VersionRequest::Unset | VersionRequest::Default => format!(
            "Extension \"{name}\" has no default version on {target} (PostgreSQL {server_version}). Available: \
             {versions}. Ask for one of these. [22023]"
        ),
        VersionRequest::Exact(_) | VersionRequest::Matching(_) => {
            let pattern = default
                .and_then(|version| version.as_str().rsplit_once('.'))
                .map(|(series, _)| format!(", or \"{series}.*\""))
                .unwrap_or_default();
            let asked = asked.as_str();
            let cut = of_cut_version(asked, available);
            format!(
                "Extension \"{name}\": version {asked} cannot be installed on {target} (PostgreSQL {server_version}). \
                 Available: {versions}. Ask for one of these{pattern}.{cut} [22023]"
            )
        }
    }
}

/// YAML reads an unquoted 1.10 as the number 1.1: suggests to quote a version that may have been shortened so.
fn of_cut_version(asked: &str, available: &[Version]) -> String {
    let is_number = |text: &str| {
        let is_part = |byte: u8| byte == b'.' || byte.is_ascii_digit();
        text.bytes().all(is_part) && text.parse::<f64>().is_ok()
    };
    let was_cut = |version: &&str| {
        is_number(version)
            && version.contains('.')
            && version.trim_end_matches('0').trim_end_matches('.') == asked
    };
    let mut available = available.iter().map(Version::as_str);
    let Some(meant) = available.find(was_cut) else {
        return String::new();
    };
    format!(
        " If the template means {meant}: YAML reads that as the number {asked}, unless it is quoted. Write \"{meant}\"."
    )
}

fn join(versions: &[Version]) -> String {
    versions
        .iter()
        .map(Version::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
