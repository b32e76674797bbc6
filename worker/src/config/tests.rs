use super::*;

fn fault(arguments: &[&str]) -> String {
    let arguments = ["extension-worker", "run"]
        .into_iter()
        .chain(arguments.iter().copied());
    CommandLine::try_read_from(arguments)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_wrong_setting_is_named() {
    let queue = ["--queue-url", "http://127.0.0.1:4566/000000000000/q"];
    for (flag, value) in [
        ("--topic-arns", "arn:aws:sqs:us-east-1:1:q"),
        ("--accounts", "123"),
        ("--response-origin", "http://127.0.0.1:4566/path"),
        ("--sns-signature", "on"),
        ("--sns-certificate-origin", "http://127.0.0.1:4566/path"),
        ("--concurrency", "0"),
        ("--visibility-seconds", "5"),
        ("--secret-seconds", "3601"),
        ("--connections", "0"),
        ("--connections-per-database", "0"),
        ("--health-addr", "8080"),
        ("--metrics-seconds", "often"),
        ("--metrics-seconds", "3601"),
        ("--metrics-namespace", ""),
        ("--metrics-namespace", "AWS/SQS"),
        ("--metrics-namespace", "Worker*"),
        ("--ssl-mode", "on"),
    ] {
        let message = fault(&[queue[0], queue[1], flag, value]);
        assert!(message.contains(flag), "{message}");
    }
    assert!(fault(&["--queue-url", "q"]).contains("--queue-url"));
    assert!(fault(&[]).contains("--queue-url"));
}

#[test]
fn settings_that_do_not_go_together_are_named() {
    let check = |arguments: &[&str]| {
        let queue = ["extension-worker", "run", "--queue-url", "http://h/q"];
        let arguments = queue.iter().chain(arguments);
        let message = CommandLine::try_read_from(arguments).unwrap();
        let Command::Run(settings) = message.command else {
            panic!("run")
        };
        settings.check()
    };
    assert_eq!(check(&[]), Ok(()));
    assert_eq!(check(&["--connections", "4"]), Ok(()));
    let message = check(&["--connections", "3"]).unwrap_err();
    for setting in [
        "WORKER_CONNECTIONS) 3",
        "WORKER_CONNECTIONS_PER_DATABASE), which is 4",
    ] {
        assert!(message.contains(setting), "{message}");
    }
}

/// Every flag of every command: from clap itself, so that a new one is looked at too.
fn every_flag() -> Vec<(String, String, Option<String>)> {
    let command = CommandLine::command();
    let commands = command.get_subcommands();
    let of = |command: &clap::Command| {
        let name = command.get_name().to_owned();
        let flags = command.get_arguments().filter_map(|argument| {
            let variable = argument
                .get_env()
                .map(|name| name.to_string_lossy().into_owned());
            Some((format!("--{}", argument.get_long()?), variable))
        });
        let flags: Vec<_> = flags.collect();
        flags
            .into_iter()
            .map(move |(flag, variable)| (name.clone(), flag, variable))
    };
    commands.flat_map(of).collect()
}

#[test]
fn no_setting_is_quoted_that_is_wrong_and_its_variable_is_named() {
    let mut refused = 0;
    for secret in [
        r#"{"username": "u", "password": "hunter2"}"#,
        "postgres://u:hunter2@h:5432/d?wrong=1",
        "host=h password=hunter2",
    ] {
        for (command, flag, variable) in every_flag() {
            for given in [
                vec![flag.clone(), secret.to_owned()],
                vec![format!("{flag}={secret}")],
            ] {
                let arguments = ["extension-worker", &command];
                let arguments = arguments.into_iter().map(str::to_owned).chain(given);
                let Err(error) = CommandLine::try_read_from(arguments) else {
                    continue;
                };
                let message = error.to_string();
                assert!(!message.contains("hunter2"), "{command} {flag}: {message}");
                assert_eq!(error.exit_code(), 2);
                let is_about_it =
                    message.contains(&format!("{flag} (")) || message.contains(&format!("{flag}:"));
                if let Some(variable) = variable.as_ref().filter(|_| is_about_it) {
                    refused += 1;
                    assert!(message.contains(variable.as_str()), "{message}");
                }
            }
        }
        for arguments in [
            vec![secret],
            vec!["plan", "f", secret],
            vec!["run", secret],
            vec!["plan", secret],
        ] {
            let arguments = std::iter::once("extension-worker").chain(arguments);
            let message = CommandLine::try_read_from(arguments)
                .unwrap_err()
                .to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
    assert!(refused > 60, "{refused}");
    let message = fault(&["--queue-url", "http://h/q", "--ssl-mode", "sometimes"]);
    assert!(
        message.contains("--ssl-mode (PGSSLMODE): must be one of disable, prefer, require, verify-ca, verify-full"),
        "{message}"
    );
}

fn by_hand(arguments: &[&str]) -> Result<LocalSettings, String> {
    let arguments = ["extension-worker", "plan", "f.json"]
        .iter()
        .chain(arguments);
    let read = CommandLine::try_read_from(arguments).map_err(|error| error.to_string())?;
    let Command::Plan(settings) = read.command else {
        panic!("{:?}", read.command);
    };
    Ok(settings)
}

#[test]
fn the_retry_budget_is_read_under_its_former_name_too() {
    let budget = |arguments: &[&str]| {
        let arguments = [
            &["extension-worker", "run", "--queue-url", "http://h/q"],
            arguments,
        ]
        .concat();
        let command = CommandLine::try_read_from(arguments).unwrap().command;
        let Command::Run(settings) = command else {
            panic!("not run");
        };
        settings.retry_budget().as_secs()
    };
    assert_eq!(budget(&[]), 90);
    assert_eq!(budget(&["--patience-seconds", "7"]), 7);
    assert_eq!(budget(&["--retry-budget-seconds", "8"]), 8);
    assert_eq!(
        budget(&["--patience-seconds", "7", "--retry-budget-seconds", "8"]),
        8
    );
}

#[test]
fn a_flag_goes_before_the_file_and_the_file_before_the_environment() {
    let text = "postgres://u:p@h/d?sslmode=require";
    let secret = by_hand(&["--secret", "s"]).unwrap();
    assert_eq!(
        secret.credentials(true),
        Ok(Credentials::Secret("s".to_owned()))
    );
    let flag = by_hand(&["--url", text]).unwrap();
    let url = || Credentials::Url(Box::new(text.parse().unwrap()));
    assert_eq!(flag.credentials(true), Ok(url()));
    // As clap has it of DATABASE_URL.
    let variable = LocalSettings {
        flags: Flags::default(),
        ..flag
    };
    assert_eq!(variable.credentials(true), Ok(Credentials::File));
    assert_eq!(variable.credentials(false), Ok(url()));
    let both = LocalSettings {
        secret: Some("s".to_owned()),
        ..variable.clone()
    };
    assert_eq!(
        both.credentials(false),
        Ok(Credentials::Secret("s".to_owned()))
    );
    assert!(
        by_hand(&["--url", text, "--secret", "s"])
            .unwrap_err()
            .contains("--secret cannot be used with --url")
    );

    let read = text.parse().unwrap();
    assert_eq!(variable.ssl(Some(&read)).ssl_mode, SslMode::Require);
    let given = by_hand(&["--url", text, "--ssl-mode", "disable"]).unwrap();
    assert_eq!(given.ssl(Some(&read)).ssl_mode, SslMode::Disable);
}

/// The cells of each row of the manual's tables.
fn rows(manual: &str) -> Vec<Vec<&str>> {
    let rows = manual.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.split('|').skip(1).map(str::trim).collect())
        .collect()
}

#[test]
fn the_manual_has_a_row_for_each_setting_with_its_flag_and_default() {
    let rows = rows(include_str!("../../../docs/settings.md"));
    let resync = include_str!("../../../docs/resync.md");
    let upgrades = include_str!("../../../docs/upgrades.md");
    let mut unknown: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let command = CommandLine::command();
    let globals = command.get_arguments().map(|argument| ("", argument));
    let others = command.get_subcommands().flat_map(|command| {
        let arguments = command.get_arguments();
        arguments.map(|argument| (command.get_name(), argument))
    });
    for (name, argument) in globals.chain(others) {
        let Some(long) = argument.get_long() else {
            continue;
        };
        let flag = format!("`--{long}`");
        let defaults = argument.get_default_values().iter();
        let defaults: Vec<_> = defaults.map(|value| value.to_string_lossy()).collect();
        let is_default =
            |cell: &str| defaults.is_empty() || cell.contains(&format!("`{}`", defaults.join(",")));
        let Some(variable) = argument.get_env() else {
            let is_in = |page: &str| page.contains(&format!("`--{long}"));
            if name == "resync" || name == "upgrade-check" {
                let has_both = name == "upgrade-check" && is_in(upgrades);
                assert!(is_in(resync) || has_both, "{name} {flag}");
                continue;
            }
            let row = rows.iter().find(|row| row[0] == flag);
            let row = row.unwrap_or_else(|| panic!("docs/settings.md has no row for {flag}"));
            assert!(is_default(row[1]), "{flag}: the default is {defaults:?}");
            unknown.retain(|cell| *cell != flag);
            continue;
        };
        let variable = format!("`{}`", variable.to_string_lossy());
        let row = rows
            .iter()
            .find(|row| row[0].contains(&variable) || row[0] == flag)
            .unwrap_or_else(|| panic!("docs/settings.md has no row for {variable}, {flag}"));
        unknown.retain(|cell| *cell != row[0]);
        assert!(row[0] == flag || row[1].contains(&flag), "{row:?}: {flag}");
        assert!(
            is_default(row[2]),
            "{variable}: the default is {defaults:?}"
        );
    }
    assert_eq!(unknown, [""; 0], "these are no settings");
}

#[test]
fn each_variable_of_the_template_is_a_setting_and_each_flag_overrides_one() {
    let template = include_str!("../../../templates/worker.yaml");
    let command = CommandLine::command();
    let run = command.find_subcommand("run").unwrap();
    let known: Vec<&str> = run
        .get_arguments()
        .chain(command.get_arguments())
        .filter_map(|argument| argument.get_env()?.to_str())
        .collect();
    let variables: Vec<&str> = template
        .split("- {Name: ")
        .skip(1)
        .filter_map(|rest| rest.split_once(", Value: "))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("WORKER_"))
        .collect();
    assert!(variables.len() > 15, "{variables:?}");
    for variable in &variables {
        assert!(known.contains(variable), "{variable}");
    }
    // What no parameter sets is a flag in ExtraArguments, of the form --flag=value.
    let arguments = "extension-worker run --queue-url=http://127.0.0.1:4566/000000000000/q --connections=400 \
                     --connections-per-database=2 --ssl-root-cert=/etc/ssl/certs/other.pem";
    let read = CommandLine::try_read_from(arguments.split_whitespace()).unwrap();
    let Command::Run(settings) = read.command else {
        panic!("run was asked for");
    };
    assert_eq!(settings.connections, 400);
    let file = settings.ssl.ssl_root_cert.as_deref();
    assert_eq!(file, Some("/etc/ssl/certs/other.pem"));
}
