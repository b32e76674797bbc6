use super::*;
use crate::config::{Command, CommandLine};
use crate::process::error_chain::with_causes;

fn made(arguments: &[&str], file: Option<&str>) -> Result<Value, String> {
    let topic = "arn:aws:sns:us-east-1:000000000000:requests";
    let given = ["extension-worker", "resync", "--topic", topic];
    let printed = CommandLine::try_read_from(given.iter().chain(arguments)).unwrap();
    let Command::Resync(settings) = printed.command else {
        panic!("resync")
    };
    let files = Files {
        targets: file,
        offer: None,
    };
    message(CommandSettings::Resync(&settings), files, "id")
        .map(|text| serde_json::from_str(&text).unwrap())
        .map_err(|fault| with_causes(&fault))
}

#[test]
fn arguments_become_a_message() {
    assert_eq!(
        made(&["--instances"], None).unwrap(),
        json!({"Type": "Resync", "ResyncId": "id", "Mode": "Report", "Targets": [{"Instances": "*"}]})
    );
    let arguments = "--repair --instances-tag env=prod --instance orders --tag team --tag env= --prefix prod/ --prefix test/ \
        --secret one --secret two --databases a,b --targets - --extension PostGIS=3.4.* --extension hstore \
        --baseline fleet";
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    assert_eq!(
        made(
            &arguments,
            Some(r#"[{"Secret": "three", "Host": "h", "Port": 5433}]"#)
        )
        .unwrap(),
        json!({
            "Type": "Resync", "ResyncId": "id", "Mode": "Repair",
            "Targets": [
                {"Instances": {"Key": "env", "Value": "prod"}}, {"Instance": "orders"},
                {"SecretTag": {"Key": "team"}}, {"SecretTag": {"Key": "env", "Value": ""}},
                {"SecretPrefix": "prod/"}, {"SecretPrefix": "test/"},
                {"Secret": "one", "Databases": ["a", "b"]}, {"Secret": "two", "Databases": ["a", "b"]},
                {"Secret": "three", "Host": "h", "Port": 5433},
            ],
            "Extensions": [{"Name": "PostGIS", "Version": "3.4.*"}, "hstore"], "Baseline": "fleet",
        })
    );
}

fn made_of_check(arguments: &[&str], offer: Option<&str>) -> Result<Value, String> {
    let topic = "arn:aws:sns:us-east-1:000000000000:requests";
    let given = ["extension-worker", "upgrade-check", "--topic", topic];
    let printed = CommandLine::try_read_from(given.iter().chain(arguments)).unwrap();
    let Command::UpgradeCheck(settings) = printed.command else {
        panic!("upgrade-check")
    };
    let files = Files {
        targets: None,
        offer,
    };
    message(CommandSettings::UpgradeCheck(&settings), files, "id")
        .map(|text| serde_json::from_str(&text).unwrap())
        .map_err(|fault| with_causes(&fault))
}

#[test]
fn a_check_says_where_the_upgrade_goes() {
    let arguments = "--prefix prod/ --to 18.1 --like staging --like-host green.example";
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    assert_eq!(
        made_of_check(&arguments, None).unwrap(),
        json!({
            "Type": "Resync", "ResyncId": "id", "Mode": "UpgradeCheck",
            "Targets": [{"SecretPrefix": "prod/"}],
            "Upgrade": {"To": "18", "Like": {"Secret": "staging", "Host": "green.example"}},
        })
    );
    let file = ["--instances", "--to", "18", "--offer", "f.json"];
    let offer = r#"{"ServerVersion": "18.1", "Extensions": {"hstore": {"Default": "1.8"}}}"#;
    let message = made_of_check(&file, Some(offer)).unwrap();
    assert_eq!(
        message["Upgrade"]["Offer"]["Extensions"]["hstore"]["Default"],
        "1.8"
    );
    for (offer, printed) in [
        (
            "[",
            "--offer f.json: must be a JSON object, as a server's offer is written",
        ),
        ("[]", "--offer: Upgrade.Offer: must be an object"),
        (
            r#"{"ServerVersion": "17.5", "Extensions": {}}"#,
            "--offer: Upgrade.Offer.ServerVersion: must be of a server of version 18",
        ),
        (
            r#"{"ServerVersion": "18.1"}"#,
            "--offer: Upgrade.Offer.Extensions:",
        ),
    ] {
        let fault = made_of_check(&file, Some(offer)).unwrap_err();
        assert!(fault.starts_with(printed), "{fault}");
    }
}

#[test]
fn what_is_wrong_is_named_by_the_flag() {
    let fault = |arguments: &[&str], file| made(arguments, file).unwrap_err();
    let of_file = |text| fault(&["--targets", "f.json"], Some(text));
    for text in ["", "{}", "[1"] {
        let printed = of_file(text);
        assert!(
            printed.starts_with("--targets f.json: must be a JSON list of targets"),
            "{printed}"
        );
    }
    assert!(of_file("[]").starts_with("--targets f.json: Targets: must name one at least"));
    assert_eq!(
        of_file(r#"[{"Secret": ""}]"#),
        "--targets f.json: Targets[0].Secret: must not be empty"
    );
    let twice = ["--secret", "s", "--databases", "a,a"];
    assert_eq!(
        fault(&twice, None),
        "--databases: Targets[0].Databases[1]: \"a\" is listed twice"
    );
    let twice = ["--instances", "--extension", "a", "--extension", "A"];
    assert_eq!(
        fault(&twice, None),
        "--extension: Extensions[1]: \"A\" is declared twice, also at Extensions[0]"
    );
    let many = |name: &str, count| {
        let target = format!(r#"{{"Secret": "{name}"}}"#);
        format!("[{}]", vec![target; count].join(","))
    };
    let (long, many) = (many(&"n".repeat(600), 500), many("s", 501));
    assert!(of_file(&long).contains("SNS accepts at most 262144"));
    assert!(of_file(&many).contains("Targets: must be 500 at most"));
}

#[test]
fn an_id_of_its_own_is_valid() {
    let now = DateTime::parse_from_rfc3339("2026-11-22T10:00:00.5Z")
        .unwrap()
        .to_utc();
    let id = id_at(now, 0xb1);
    assert_eq!(id, "2026-11-22T10-00-00Z-00b1");
    assert_eq!(crate::resync_protocol::resync_id(&id), Ok(id));
}
