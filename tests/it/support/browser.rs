//! A headless Chromium with a page in it.

use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use fantoccini::elements::Element;
use fantoccini::error::NewSessionError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Url;
use serde_json::{Value, json};

const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// A browser of the test's own, which ends with it.
pub(crate) struct Browser {
    pub(crate) client: Client,
    _driver: Driver,
}

impl Browser {
    /// Opens a page from a file, as a reader does who was sent it.
    pub(crate) async fn open(page: &str) -> Self {
        let driver = Driver::start();
        let file = driver.directory.join("page.html");
        std::fs::write(&file, page).unwrap();
        let client = driver.connect().await.unwrap();
        client.set_window_size(1440, 900).await.unwrap();
        let url = Url::from_file_path(&file).unwrap();
        client.goto(url.as_str()).await.unwrap();
        Self {
            client,
            _driver: driver,
        }
    }

    /// What an expression of the page's script comes to.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        self.client.execute(&script, Vec::new()).await.unwrap()
    }

    /// The texts of all elements that a selector finds, as they are rendered.
    pub(crate) async fn texts(&self, selector: &str) -> Vec<String> {
        let list = format!("[...document.querySelectorAll({selector:?})]");
        let texts = self
            .eval(&format!("{list}.map((found) => found.innerText.trim())"))
            .await;
        serde_json::from_value(texts).unwrap()
    }

    /// The only text that a selector finds.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let texts = self.texts(selector).await;
        assert_eq!(texts.len(), 1, "{selector}: {texts:?}");
        texts.into_iter().next().unwrap()
    }

    pub(crate) async fn find(&self, selector: &str) -> Element {
        self.client.find(Locator::Css(selector)).await.unwrap()
    }

    /// The button with this text in it, clicked where a mouse would.
    pub(crate) async fn press(&self, text: &str) {
        let path = format!("//button[contains(normalize-space(.), '{text}')]");
        let button = self.client.find(Locator::XPath(&path)).await.unwrap();
        button.click().await.unwrap();
    }

    /// Types into whatever has the focus.
    pub(crate) async fn keys(&self, keys: &str) {
        let focused = self.client.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }

    /// A command of Chromium's own protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        let command = DevtoolsCommand("goog/cdp/execute", body);
        self.client.issue_cmd(command).await.unwrap()
    }

    /// The addresses of all requests so far, the page's own among them.
    pub(crate) async fn requests(&self) -> Vec<String> {
        let command = DevtoolsCommand("se/log", json!({"type": "performance"}));
        let entries = self.client.issue_cmd(command).await.unwrap();
        let events = entries.as_array().unwrap().iter().map(|entry| {
            let event = entry["message"].as_str().unwrap();
            serde_json::from_str::<Value>(event).unwrap()["message"].take()
        });
        events
            .filter(|event| event["method"] == "Network.requestWillBeSent")
            .map(|event| event["params"]["request"]["url"].as_str().unwrap().into())
            .collect()
    }

    /// Keeps what is seen as a picture, for a person to look at: in `REPORT_PAGE_PICTURES`, else below `target/tmp`.
    pub(crate) async fn picture(&self, name: &str) {
        #[allow(
            clippy::disallowed_methods,
            reason = "who wants to see the pictures says where"
        )]
        let chosen = std::env::var_os("REPORT_PAGE_PICTURES").map(PathBuf::from);
        let directory = chosen.unwrap_or_else(|| Path::new(SCRATCH).join("report-page"));
        std::fs::create_dir_all(&directory).unwrap();
        let picture = self.client.screenshot().await.unwrap();
        std::fs::write(directory.join(format!("{name}.png")), picture).unwrap();
    }
}

/// A command that WebDriver does not have: its path below the session, and its body.
#[derive(Debug)]
struct DevtoolsCommand(&'static str, Value);

impl WebDriverCompatibleCommand for DevtoolsCommand {
    fn endpoint(
        &self,
        base: &Url,
        session: Option<&str>,
    ) -> Result<Url, <Url as std::str::FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}

/// Chromium's driver, which starts the browser, with a directory for what both write.
struct Driver {
    child: Child,
    port: u16,
    directory: PathBuf,
    /// Kept open: it goes on writing there.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    fn start() -> Self {
        let name = format!("browser-{}", uuid::Uuid::new_v4());
        let directory = Path::new(SCRATCH).join(name);
        std::fs::create_dir(&directory).unwrap();
        let mut child = Command::new(installed("CHROMEDRIVER"))
            .arg("--port=0")
            .env("LD_LIBRARY_PATH", installed("LD_LIBRARY_PATH"))
            .env("FONTCONFIG_FILE", installed("FONTCONFIG_FILE"))
            .env("TMPDIR", &directory)
            .env("HOME", &directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // The browser's processes stay in its group, and end with it.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = output
            .by_ref()
            .find_map(|line| {
                let line = line.unwrap();
                let (_, port) = line.split_once("successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("the driver says its port");
        Self {
            child,
            port,
            directory,
            _output: output,
        }
    }

    async fn connect(&self) -> Result<Client, NewSessionError> {
        let wanted = json!({
            "goog:chromeOptions": {
                "binary": installed("CHROMIUM"),
                // The page is this repository's, and nothing else is ever opened: the sandbox would need a kernel that
                // lets everybody have one. No name resolves, so that whatever the browser wants does not leave.
                "args": ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
            },
            "goog:loggingPrefs": {"performance": "ALL"},
        });
        ClientBuilder::new(HttpConnector::new())
            .capabilities(serde_json::from_value(wanted).unwrap())
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let killed = Command::new("kill").args(["-KILL", "--", &group]).status();
        assert!(killed.unwrap().success());
        self.child.wait().unwrap();
        // What still dies may still write: leftovers in the build's own directory are no fault.
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// One of the variables that `localstack/browser.py` prints, which installs the browser where it is missing.
fn installed(name: &str) -> &'static str {
    static VARIABLES: OnceLock<Value> = OnceLock::new();
    let variables = VARIABLES.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../localstack/browser.py");
        let output = Command::new("python3")
            .arg(script)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "no browser to test the page with");
        serde_json::from_slice(&output.stdout).unwrap()
    });
    variables[name].as_str().unwrap()
}
