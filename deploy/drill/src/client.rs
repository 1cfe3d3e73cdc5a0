//! One request, and an answer held to the contract.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use anyhow::Result;
use proto::Timestamp;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use uuid::Uuid;

use crate::book::Answer;
use crate::plan::Sending;

/// How a playbook is reached today. A sender asks before every request, as one whose configuration may change.
#[derive(Clone, Debug)]
pub struct Door {
    /// Path of its URL.
    pub path: String,
    /// A live secret.
    pub secret: String,
}

impl Door {
    /// The door of `organization/playbook`.
    pub fn new(organization: &str, playbook: &str, secret: &str) -> Self {
        let path = format!("/api/webhooks/orgs/{organization}/playbooks/{playbook}");
        Self { path, secret: secret.to_owned() }
    }
}

/// Sends to gateways.
pub struct Client {
    http: reqwest::Client,
    gateways: Vec<String>,
    /// One for each place.
    doors: RwLock<Vec<Door>>,
}

impl Client {
    /// To these gateways, with one door for each place.
    pub fn new(gateways: Vec<String>, doors: Vec<Door>) -> Result<Self> {
        // The environment may name a proxy, which cannot reach this machine's loopback.
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { http, gateways, doors: RwLock::new(doors) })
    }

    /// How many gateways it knows.
    pub fn gateways(&self) -> usize {
        self.gateways.len()
    }

    /// How a place is reached now.
    pub fn door(&self, place: usize) -> Door {
        self.doors.read().unwrap_or_else(PoisonError::into_inner)[place].clone()
    }

    /// From now on a place is reached in another way.
    pub fn set_door(&self, place: usize, door: Door) {
        self.doors.write().unwrap_or_else(PoisonError::into_inner)[place] = door;
    }

    /// Whether this gateway knows the secret.
    pub async fn is_let_in(&self, place: usize, gateway: usize) -> bool {
        self.knock(place, gateway).await == Some(400)
    }

    /// The status that this gateway answers without a key: it refuses only after it has checked the secret, and leaves nothing
    /// behind. None where it does not answer.
    pub async fn knock(&self, place: usize, gateway: usize) -> Option<u16> {
        let door = self.door(place);
        let request = self.http.post(format!("{}{}", self.gateways[gateway], door.path));
        let request = request.header("x-webhook-secret", &door.secret).timeout(Duration::from_secs(5));
        request.send().await.ok().map(|answer| answer.status().as_u16())
    }

    /// Sends one request and reads the whole answer, which may take as long as `patience`.
    pub async fn deliver(&self, sending: &Sending, gateway: usize, patience: Duration) -> Answer {
        let door = self.door(sending.what.place);
        let mut url = format!("{}{}", self.gateways[gateway], door.path);
        let selectors = [("project", &sending.what.project), ("template", &sending.what.template)];
        let named = selectors.iter().filter_map(|(name, slug)| Some(format!("{name}={}", slug.as_ref()?)));
        let query: Vec<_> = named.collect();
        if !query.is_empty() {
            url = format!("{url}?{}", query.join("&"));
        }
        let request = self.http.post(url).timeout(patience).header("x-webhook-secret", &door.secret);
        let request = request.header("x-idempotency-key", &sending.key.key).body(sending.body.clone());
        match exchange(request).await {
            Ok((code, headers, text)) => read(code, &headers, &text, &door.path),
            Err(error) => Answer::Nothing(if error.is_timeout() { "time-out" } else { "connection" }.to_owned()),
        }
    }
}

async fn exchange(request: reqwest::RequestBuilder) -> reqwest::Result<(u16, HeaderMap, String)> {
    let response = request.send().await?;
    Ok((response.status().as_u16(), response.headers().clone(), response.text().await?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Success {
    run_id: Uuid,
    status: String,
    #[serde(rename = "message")]
    _message: String,
    timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    error: String,
    run_id: Option<Uuid>,
}

fn read(code: u16, headers: &HeaderMap, text: &str, path: &str) -> Answer {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let wrong = |how: &str| Answer::Wrong(format!("{code} {how}: {text}"));
    if !(200..300).contains(&code) {
        let patience = header("retry-after").map(str::parse::<u32>);
        if (code == 503) != matches!(patience, Some(Ok(1..))) || (code != 503 && patience.is_some()) {
            return wrong("with a Retry-After that its code does not have, or without one");
        }
        return match serde_json::from_str::<Failure>(text) {
            Ok(failure) => Answer::Refused { code, error: failure.error, run: failure.run_id },
            Err(_) => wrong("without the contract's error body"),
        };
    }
    let Ok(success) = serde_json::from_str::<Success>(text) else {
        return wrong("without the contract's four members");
    };
    let (status, replay) = match code {
        200 => ("replayed", Some("true")),
        201 | 202 => ("created", None),
        _ => return wrong("is no code of the contract"),
    };
    let deferred = match header("idempotency-check") {
        None => false,
        Some("deferred") => true,
        Some(_) => return wrong("with an unknown Idempotency-Check"),
    };
    if success.status != status || header("idempotent-replay") != replay {
        return wrong("with a status or an Idempotent-Replay that its code does not have");
    }
    if header("location") != Some(format!("{path}/runs/{}", success.run_id).as_str()) {
        return wrong("with a Location that is not the run's");
    }
    if success.timestamp.parse::<Timestamp>().is_err() {
        return wrong("with a timestamp that is none");
    }
    Answer::Accepted { code, run: success.run_id, timestamp: success.timestamp, deferred }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "bb367988-e3f0-842a-8db7-7942ccf93e47";

    fn answer(code: u16, headers: &[(&'static str, &str)], text: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        read(code, &headers, text, "/p")
    }

    fn success(status: &str) -> String {
        format!(r#"{{"runId":"{RUN}","status":"{status}","message":"m","timestamp":"2026-11-23T16:28:50.922Z"}}"#)
    }

    #[test]
    fn an_answer_that_the_contract_does_not_have_is_wrong() {
        let location = ("location", "/p/runs/bb367988-e3f0-842a-8db7-7942ccf93e47");
        let replay = ("idempotent-replay", "true");
        let right = [
            answer(202, &[location], &success("created")),
            answer(200, &[location, replay], &success("replayed")),
            answer(202, &[location, ("idempotency-check", "deferred")], &success("created")),
            answer(409, &[], &format!(r#"{{"error":"idempotency_conflict","runId":"{RUN}"}}"#)),
            answer(503, &[("retry-after", "1")], r#"{"error":"unavailable"}"#),
        ];
        let labels: Vec<_> = right.iter().map(Answer::label).collect();
        assert_eq!(labels, ["202", "200", "202 deferred", "409 idempotency_conflict", "503 unavailable"]);
        for wrong in [
            answer(202, &[], &success("created")),
            answer(202, &[("location", "/p/runs/1")], &success("created")),
            answer(202, &[location, replay], &success("created")),
            answer(200, &[location], &success("replayed")),
            answer(200, &[location, replay], &success("created")),
            answer(202, &[location, ("idempotency-check", "skipped")], &success("created")),
            answer(204, &[location], &success("created")),
            answer(202, &[location], &success("created").replace(".922Z", "Z")),
            answer(202, &[location], "{}"),
            answer(503, &[("retry-after", "1")], "upstream connect error"),
            answer(503, &[], r#"{"error":"unavailable"}"#),
            answer(503, &[("retry-after", "0")], r#"{"error":"unavailable"}"#),
            answer(404, &[("retry-after", "1")], r#"{"error":"not_found"}"#),
        ] {
            assert!(matches!(wrong, Answer::Wrong(_)), "{wrong:?}");
        }
    }
}
