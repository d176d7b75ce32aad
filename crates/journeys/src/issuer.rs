//! The certified `oidc-provider` of npm in a process of its own, as the identity
//! provider that a world believes.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::json;
use testkit::Ask;

use crate::{Setup, World};

/// Where browsers find Bedplate; the tests' browser knows where that is.
pub const RESOURCE: &str = "https://bedplate.test";

/// The provider's process; it ends with its standard input.
pub struct Issuer {
    child: Child,
    #[expect(dead_code, reason = "Node ends when nobody reads what it says")]
    said: BufReader<ChildStdout>,
    pub url: String,
    pub address: SocketAddr,
}

impl Issuer {
    /// `None`, aloud, where there is no Node or its packages could not be had.
    ///
    /// # Panics
    /// If it is there and does not start.
    #[expect(clippy::disallowed_methods, reason = "the test runner says in the environment where it is")]
    pub fn start() -> Option<Issuer> {
        let Some(folder) = std::env::var_os("OIDC_PROVIDER").map(PathBuf::from) else {
            eprintln!(
                "SKIPPED: set OIDC_PROVIDER to a folder with oidc-provider (`cargo xtask test` makes one)"
            );
            return None;
        };
        let mut node = Command::new("node");
        node.arg(folder.join("provider.mjs")).arg(format!("{RESOURCE}/login/callback"));
        let child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let mut child = child.expect("node starts");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        // It warns of being a test before it says so.
        while !line.starts_with("listening on ") {
            line.clear();
            assert_ne!(said.read_line(&mut line).expect("it says where it listens"), 0, "the provider ended");
        }
        let url = line.split_whitespace().last().expect("an address").to_owned();
        let address = url.trim_start_matches("http://").parse().expect("an address");
        Some(Issuer { child, said, url, address })
    }
    /// A token of the robot, for an audience.
    pub fn robot(&self, audience: &str) -> String {
        self.robot_for("", audience)
    }
    /// One about a person, in which the robot acts for them.
    ///
    /// # Panics
    /// If the provider gives none.
    pub fn robot_for(&self, person: &str, audience: &str) -> String {
        let ask = Ask::new("POST", "/token")
            .header("x-acts-for", person)
            .header("content-type", "application/x-www-form-urlencoded")
            // robot:a+secret+of+the+robot+alone
            .header("authorization", "Basic cm9ib3Q6YStzZWNyZXQrb2YrdGhlK3JvYm90K2Fsb25l");
        let form = format!("grant_type=client_credentials&scope=infer&resource={audience}");
        let answer = ask.body(form).send(self.address).expect("the provider answers");
        answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer:?}")).to_owned()
    }
    /// A world that believes it. Whoever is in `ml-platform` is an operator, in `search` a developer.
    ///
    /// # Panics
    /// If its file cannot be written.
    pub fn world(&self, binary: &std::path::Path) -> World {
        let folder = crate::Folder::new();
        let file = folder.path().join("identity.toml");
        let text = format!(
            "resource = \"{RESOURCE}\"\n[[issuer]]\nurl = \"{}\"\nalgorithms = [\"RS256\"]\ninside = true\n\
             client_id = \"bedplate\"\n\
             [[issuer.grant]]\ngroup = \"ml-platform\"\nteam = \"platform\"\nrole = \"operator\"\n\
             [[issuer.grant]]\ngroup = \"search\"\nteam = \"platform\"\nrole = \"developer\"\n",
            self.url
        );
        std::fs::write(&file, text).expect("written");
        let world = Setup::new(binary).arg(&format!("--identity={}", file.display())).begin();
        world.create("/api/v1/teams", &json!({"name": "platform"}));
        world
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
