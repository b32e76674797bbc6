use crate::config::CommandLine;

const TOPICS: [&str; 4] = [
    "--topic",
    "arn:aws:sns:us-east-1:000000000000:requests",
    "--results-topic",
    "arn:aws:sns:us-east-1:000000000000:results",
];

fn fault(arguments: &[&str]) -> String {
    // One that is given twice would be refused for that.
    let topics = TOPICS
        .chunks(2)
        .filter(|topic| !arguments.contains(&topic[0]));
    let topics = topics.flatten();
    let given = ["extension-worker", "resync"].iter().chain(topics);
    CommandLine::try_read_from(given.chain(arguments))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_command_without_a_target_lists_the_flags_for_one() {
    let output_text = fault(&["--repair"]);
    for flag in [
        "--instances",
        "--instances-tag",
        "--instance",
        "--tag",
        "--prefix",
        "--secret",
        "--targets",
    ] {
        assert!(output_text.contains(flag), "{output_text}");
    }
}

#[test]
fn a_wrong_setting_is_named() {
    for (flag, value, right) in [
        ("--instances-tag", "=v", "key or key=value"),
        ("--instance", "a b", "the identifier or the ARN"),
        ("--tag", "", "key or key=value"),
        ("--prefix", "", "the name or the ARN of a secret"),
        ("--secret", "", "the name or the ARN of a secret"),
        ("--extension", "a--b", "its name must not contain"),
        ("--extension", "a=", "name or name=version"),
        ("--extension", "a=1--2", "its version must not contain"),
        ("--id", "a b", "must be 1 to 64 of"),
        ("--timeout-seconds", "0", "from 1 to 43200"),
        ("--topic", "arn:aws:sqs:us-east-1:1:q", "ARN of a topic"),
        ("--results-topic", "results", "ARN of a topic"),
    ] {
        let output_text = fault(&["--instances", "--wait", flag, value]);
        assert!(
            output_text.contains(flag) && output_text.contains(right),
            "{output_text}"
        );
    }
}

#[test]
fn settings_that_do_not_go_together_are_named() {
    for (arguments, named) in [
        (&["--json"][..], "--wait"),
        (&["--csv"], "--wait"),
        (&["--html", "f"], "--wait"),
        (&["--timeout-seconds", "9"], "--wait"),
        (&["--wait", "--csv", "--json"], "--json"),
        (&["--report", "--repair"], "--repair"),
        (&["--databases", "a"], "--secret"),
        (&["--baseline", "b"], "--extension"),
    ] {
        let output_text = fault(&[&["--instances"], arguments].concat());
        assert!(output_text.contains(named), "{arguments:?}: {output_text}");
    }
    let [topic, arn, ..] = TOPICS;
    let output_text = CommandLine::try_read_from([
        "extension-worker",
        "resync",
        topic,
        arn,
        "--instances",
        "--wait",
    ])
    .unwrap_err()
    .to_string();
    assert!(output_text.contains("--results-topic"), "{output_text}");
}

#[test]
fn a_check_says_where_the_upgrade_goes_and_from_where_the_offer_is_known() {
    let fault = |arguments: &[&str]| {
        let given = ["extension-worker", "upgrade-check", "--instances"]
            .iter()
            .chain(&TOPICS);
        CommandLine::try_read_from(given.chain(arguments))
            .unwrap_err()
            .to_string()
    };
    for (arguments, named) in [
        (&[][..], "--to"),
        (
            &["--to", "latest"],
            "--to: must be a major version of PostgreSQL",
        ),
        (&["--to", "17.5.1"], "--to:"),
        (&["--to", "18", "--like", "s", "--offer", "f"], "--offer"),
        (&["--to", "18", "--like-host", "h"], "--like"),
        (&["--to", "18", "--repair"], "--repair"),
        (&["--to", "18", "--csv"], "--wait"),
    ] {
        let output_text = fault(arguments);
        assert!(output_text.contains(named), "{arguments:?}: {output_text}");
    }
}
