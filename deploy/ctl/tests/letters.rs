//! Dead letters as the worker writes them, without a worker.

use proto::{
    Fingerprint, IdempotencyKey, OrganizationId, Payload, PlaybookId, ProjectId, RunId, Scope, Selector, TemplateId,
    Timestamp,
    dead_letter::{Reason, identity, raw_identity},
    envelope::{self, Delivery},
};
use serde_json::Value;
use uuid::Uuid;

use crate::database::{Database, Outcome};

/// Stands in every payload, and nowhere else.
pub(crate) const CANARY: &str = "canary-payload";

pub(crate) const CATALOG: &str = r#"
[organizations.acme]
[organizations.acme.projects.main]
[organizations.acme.templates.plain]
[organizations.acme.playbooks.deploy]
project = "main"
template = "plain"

[organizations.globex]
idempotency_scope = "organization"
[organizations.globex.projects.main]
[organizations.globex.templates.plain]
[organizations.globex.playbooks.one]
project = "main"
template = "plain"
"#;

/// A playbook with the ids that a gateway would put into a message.
pub(crate) struct Playbook {
    organization: OrganizationId,
    id: PlaybookId,
    project: ProjectId,
    template: TemplateId,
    by_organization: bool,
}

impl Playbook {
    pub(crate) async fn of(database: &Database, organization: &str) -> Self {
        let sql = format!(
            "SELECT o.id, p.id, p.project_id, p.template_id, o.idempotency_scope
             FROM playbooks p JOIN organizations o ON o.id = p.organization_id WHERE o.slug = '{organization}'"
        );
        let row = database.query(&sql).await;
        let columns: Vec<&str> = row.split(' ').collect();
        let id = |column: usize| columns[column].parse::<Uuid>().unwrap();
        Self {
            organization: OrganizationId(id(0)),
            id: PlaybookId(id(1)),
            project: ProjectId(id(2)),
            template: TemplateId(id(3)),
            by_organization: columns[4] == "organization",
        }
    }

    pub(crate) fn run_id(&self, key: &str) -> RunId {
        let scope =
            if self.by_organization { Scope::Organization(self.organization) } else { Scope::Playbook(self.id) };
        RunId::compute(scope, &key.parse().unwrap())
    }

    /// `payload` may be what no gateway accepts.
    pub(crate) fn delivery<'a>(&self, key: &str, target: Selector, payload: &'a str) -> Delivery<'a> {
        let payload: Payload<'a> = serde_json::from_str(payload).unwrap();
        Delivery {
            run_id: self.run_id(key),
            organization_id: self.organization,
            playbook_id: self.id,
            project_id: self.project,
            template_id: self.template,
            idempotency_key: IdempotencyKey::from_bytes(key.as_bytes()).unwrap(),
            fingerprint: Fingerprint::compute(self.id, &target, &payload),
            target,
            accepted_at: Timestamp::now(),
            request_id: None,
            traceparent: None,
            reply_to: None,
            payload,
        }
    }
}

pub(crate) fn payload(text: &str) -> String {
    serde_json::json!({ "text": text, "canary": CANARY }).to_string()
}

/// The dead letter of a delivery; returns its id.
pub(crate) async fn bury(database: &Database, reason: Reason, delivery: &Delivery<'_>) -> String {
    let sql = "
        INSERT INTO dead_letters (identity, reason, detail, run_id, organization_id, playbook_id, project_id, template_id,
            project_slug, template_slug, idempotency_key, fingerprint, payload, accepted_at, stream_epoch, stream_sequence)
        VALUES ($1, $2, 'why', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, 1) RETURNING id";
    let slug = |slug: &Option<proto::Slug>| slug.as_ref().map(ToString::to_string);
    let client = database.admin().await;
    let row = client
        .query_one(
            sql,
            &[
                &identity(delivery.run_id, &delivery.fingerprint),
                &reason.as_str(),
                &delivery.run_id.0,
                &delivery.organization_id.0,
                &delivery.playbook_id.0,
                &delivery.project_id.0,
                &delivery.template_id.0,
                &slug(&delivery.target.project),
                &slug(&delivery.target.template),
                &delivery.idempotency_key.as_str(),
                &delivery.fingerprint.0.as_slice(),
                &delivery.payload.as_str().as_bytes(),
                &std::time::SystemTime::from(delivery.accepted_at),
            ],
        )
        .await;
    row.unwrap().get::<_, Uuid>(0).to_string()
}

/// The dead letter of a raw message.
pub(crate) async fn bury_message(database: &Database, reason: Reason, message: &[u8]) -> String {
    let sql = "INSERT INTO dead_letters (identity, reason, detail, payload, stream_epoch, stream_sequence)
               VALUES ($1, $2, 'why', $3, 1, 2) RETURNING id";
    let row = database.admin().await.query_one(sql, &[&raw_identity(message), &reason.as_str(), &message]).await;
    row.unwrap().get::<_, Uuid>(0).to_string()
}

pub(crate) fn message(deliveries: &[Delivery<'_>]) -> Vec<u8> {
    let encoded: Vec<_> = deliveries.iter().map(Delivery::encode).collect();
    envelope::encode(encoded.iter()).to_vec()
}

/// A run as the worker makes it.
pub(crate) async fn insert_run(client: &tokio_postgres::Client, delivery: &Delivery<'_>) {
    let sql =
        "INSERT INTO runs (id, organization_id, playbook_id, project_id, template_id, idempotency_key, fingerprint,
                                 payload, accepted_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::json, $9)";
    let row = client
        .execute(
            sql,
            &[
                &delivery.run_id.0,
                &delivery.organization_id.0,
                &delivery.playbook_id.0,
                &delivery.project_id.0,
                &delivery.template_id.0,
                &delivery.idempotency_key.as_str(),
                &delivery.fingerprint.0.as_slice(),
                &delivery.payload.as_str(),
                &std::time::SystemTime::from(delivery.accepted_at),
            ],
        )
        .await;
    row.unwrap();
}

/// A command about dead letters, as JSON: its exit code and its lines.
pub(crate) fn json(database: &Database, args: &[&str]) -> (i32, Vec<Value>) {
    let Outcome { code, stdout, stderr } = database.run(&[&["dead-letters"], args, &["--json"]].concat());
    assert!(!stderr.contains(CANARY) && (args[0] == "show" || !stdout.contains(CANARY)), "a payload in the open");
    (code, stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The ending of the only one, and the runs it names.
pub(crate) fn ending(database: &Database, args: &[&str]) -> (i32, String, Vec<String>) {
    let (code, lines) = json(database, args);
    let [line] = lines.as_slice() else { panic!("{args:?}: {lines:?}") };
    let runs = line["runs"].as_array().unwrap().iter().map(|run| run.as_str().unwrap().to_owned()).collect();
    (code, line["ending"].as_str().unwrap().to_owned(), runs)
}
