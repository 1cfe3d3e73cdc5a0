//! A delivery to be sent, right unless told otherwise.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Client, Method, RequestBuilder};
use uuid::Uuid;

use crate::leaks::CANARY;

/// Where deliveries go, and the secret that opens it.
#[derive(Clone, Debug)]
pub struct Playbook {
    /// Path of its URL.
    pub path: String,
    /// A live secret.
    pub secret: String,
}

impl Playbook {
    /// `name` is `organization/playbook`.
    pub fn new(name: &str, secret: &str) -> Self {
        let (organization, playbook) = name.split_once('/').expect("organization/playbook");
        let path = format!("/api/webhooks/orgs/{organization}/playbooks/{playbook}");
        Self { path, secret: secret.to_owned() }
    }

    /// A delivery under this key, with a payload of its own.
    pub fn delivery(&self, key: &str) -> Delivery {
        let headers = HeaderMap::from_iter([
            (HeaderName::from_static("x-webhook-secret"), HeaderValue::from_str(&self.secret).expect("visible")),
            (HeaderName::from_static("x-idempotency-key"), HeaderValue::from_str(key).expect("visible")),
        ]);
        let body = payload(key).into_bytes();
        Delivery { gateway: 0, method: Method::POST, path: self.path.clone(), headers, body: Content::Whole(body) }
    }

    /// A question after the run of this id.
    pub fn run(&self, run: Uuid) -> Delivery {
        self.ask(&format!("/runs/{run}"))
    }

    /// A question after the run of this key, which needs no escape in a query.
    pub fn run_of(&self, key: &str) -> Delivery {
        self.ask(&format!("/runs?idempotencyKey={key}"))
    }

    fn ask(&self, below: &str) -> Delivery {
        let question = self.delivery("none").method("GET").without("x-idempotency-key").body("");
        question.path(&format!("{}{below}", self.path))
    }

    /// A delivery that a gateway refuses once it knows the secret, and not later.
    pub fn probe(&self) -> Delivery {
        self.delivery("probe").without("x-idempotency-key")
    }
}

/// The payload of [`Playbook::delivery`].
pub fn payload(key: &str) -> String {
    serde_json::json!({ "key": key, "canary": CANARY }).to_string()
}

/// A request in the making.
#[derive(Debug)]
pub struct Delivery {
    gateway: usize,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Content,
}

#[derive(Debug)]
enum Content {
    Whole(Vec<u8>),
    Streamed(Body),
}

impl Delivery {
    /// To the gateway of this index.
    pub fn gateway(mut self, gateway: usize) -> Self {
        self.gateway = gateway;
        self
    }

    /// With another method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.parse().expect("a method");
        self
    }

    /// To another path, query included.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// With a query.
    pub fn query(mut self, query: &str) -> Self {
        self.path = format!("{}?{query}", self.path);
        self
    }

    /// With this header once, whatever it was.
    pub fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.insert(name, HeaderValue::from_bytes(value.as_ref()).expect("a header value"));
        self
    }

    /// With this header once more.
    pub fn also(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// Without this header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// With another secret.
    pub fn secret(self, secret: &str) -> Self {
        self.header("x-webhook-secret", secret)
    }

    /// With another body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Content::Whole(body.into());
        self
    }

    /// With a body of unannounced length.
    pub fn streamed(mut self, body: Body) -> Self {
        self.body = Content::Streamed(body);
        self
    }

    pub(crate) fn method_name(&self) -> String {
        self.method.to_string()
    }

    pub(crate) fn request(self, client: &Client, urls: &[String]) -> RequestBuilder {
        let request = client.request(self.method, format!("{}{}", urls[self.gateway], self.path)).headers(self.headers);
        match self.body {
            Content::Whole(bytes) => request.body(bytes),
            Content::Streamed(body) => request.body(body),
        }
    }
}
