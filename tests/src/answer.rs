//! An answer, held to the contract.

use proto::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;
use uuid::Uuid;

use crate::contract;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body as it came.
    pub text: String,
    pub(crate) path: String,
}

/// What a success says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    /// The run.
    pub run: Uuid,
    /// When it was accepted, as text.
    pub timestamp: String,
    /// True if the conflict check was skipped.
    pub deferred: bool,
}

impl Answer {
    /// Reads the whole answer to this method, and holds it to the contract.
    pub(crate) async fn read(method: &str, response: reqwest::Response) -> reqwest::Result<Self> {
        let answer = Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            path: response.url().path().to_owned(),
            text: response.text().await?,
        };
        contract::hold(method, &answer);
        Ok(answer)
    }

    /// Value of a header that is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().expect("ASCII");
        assert!(values.next().is_none(), "{name} is repeated: {self:?}");
        Some(value)
    }

    /// Fails unless this is a 202 as the contract has it.
    #[track_caller]
    pub fn created(&self) -> Success {
        self.success(202, "created")
    }

    /// Fails unless this is a 201 as the contract has it.
    #[track_caller]
    pub fn committed(&self) -> Success {
        self.success(201, "created")
    }

    /// Fails unless this is a 200 as the contract has it.
    #[track_caller]
    pub fn replayed(&self) -> Success {
        self.success(200, "replayed")
    }

    #[track_caller]
    fn success(&self, status: u16, word: &str) -> Success {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        let members: Vec<_> = body.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["message", "runId", "status", "timestamp"], "{self:?}");
        assert_eq!(body["status"], word, "{self:?}");
        assert!(!body["message"].as_str().expect("text").is_empty());
        let run: Uuid = body["runId"].as_str().expect("text").parse().expect("a uuid");
        assert_eq!(run.get_version_num(), 8);
        let timestamp = body["timestamp"].as_str().expect("text").to_owned();
        timestamp.parse::<Timestamp>().expect("RFC 3339, UTC, milliseconds, Z");
        assert_eq!(self.header("location"), Some(format!("{}/runs/{run}", self.path).as_str()));
        assert!(self.header("x-request-id").is_some());
        assert_eq!(self.header("idempotent-replay"), (status == 200).then_some("true"));
        assert_eq!(self.header("content-type"), Some("application/json"));
        let deferred = self.header("idempotency-check").map(|check| assert_eq!(check, "deferred")).is_some();
        Success { run, timestamp, deferred }
    }

    /// Fails unless this refuses with that status and code, and nothing that the contract does not have.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.json()["error"].as_str()), (status, Some(code)), "{self:?}");
        let mut expected = vec!["error"];
        match code {
            "invalid_body" => expected.push("issues"),
            "idempotency_conflict" => expected.push("runId"),
            _ => {}
        }
        let body = self.json();
        let members: Vec<_> = body.as_object().expect("an object").keys().collect();
        assert_eq!(members, expected, "{self:?}");
        if let Some(issues) = body.get("issues") {
            for issue in issues.as_array().expect("an array") {
                assert!(issue["path"].is_string() && !issue["message"].as_str().expect("text").is_empty(), "{self:?}");
            }
        }
        assert_eq!(self.header("retry-after").is_some(), matches!(status, 429 | 503), "{self:?}");
        let served = if self.path.contains("/runs") { "GET, HEAD" } else { "POST" };
        assert_eq!(self.header("allow"), (status == 405).then_some(served), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("location"), None);
        assert!(self.header("x-request-id").is_some());
        assert_eq!(self.header("accept-encoding"), (code == "unsupported_content_encoding").then_some("gzip"));
    }

    /// What a question after a run is answered; fails unless it is as the contract has it.
    #[track_caller]
    pub fn run_status(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let body = self.json();
        let mut expected =
            vec!["acceptedAt", "fingerprint", "idempotencyKey", "project", "runId", "status", "template"];
        match body["status"].as_str().expect("text") {
            "queued" => {}
            "created" => expected.push("createdAt"),
            "rejected" => expected.push("reason"),
            other => panic!("status {other}"),
        }
        expected.sort_unstable();
        let members: Vec<_> = body.as_object().expect("an object").keys().collect();
        assert_eq!(members, expected, "{self:?}");
        for time in [&body["acceptedAt"], &body["createdAt"]].into_iter().filter(|time| !time.is_null()) {
            time.as_str().expect("text").parse::<Timestamp>().expect("RFC 3339, UTC, milliseconds, Z");
        }
        assert_eq!(body["fingerprint"].as_str().expect("text").len(), 32, "{self:?}");
        body
    }

    /// Fails unless this is a 409 that names `run`.
    #[track_caller]
    pub fn conflicts_with(&self, run: Uuid) {
        self.refused(409, "idempotency_conflict");
        assert_eq!(self.json()["runId"], run.to_string(), "{self:?}");
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
