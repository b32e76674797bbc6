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
        let told = fault(&[queue[0], queue[1], flag, value]);
        assert!(told.contains(flag), "{told}");
    }
    assert!(fault(&["--queue-url", "q"]).contains("--queue-url"));
    assert!(fault(&[]).contains("--queue-url"));
}

#[test]
fn settings_that_do_not_go_together_are_named() {
    let check = |arguments: &[&str]| {
        let queue = ["extension-worker", "run", "--queue-url", "http://h/q"];
        let arguments = queue.iter().chain(arguments);
        let told = CommandLine::try_read_from(arguments).unwrap();
        let Command::Run(settings) = told.command else {
            panic!("run")
        };
        settings.check()
    };
    assert_eq!(check(&[]), Ok(()));
    assert_eq!(check(&["--connections", "4"]), Ok(()));
    let told = check(&["--connections", "3"]).unwrap_err();
    for setting in [
        "WORKER_CONNECTIONS) 3",
        "WORKER_CONNECTIONS_PER_DATABASE), which is 4",
    ] {
        assert!(told.contains(setting), "{told}");
    }
}
