//! Which dead letters a command is about.

use tokio_postgres::{Client, types::ToSql};
use uuid::Uuid;

use super::arguments::{Filter, Which};
use crate::{Error, cli::PlaybookPath, remark};

/// Conditions of [`Filter::parameters`], over `dead_letters AS d`.
pub(super) const FILTER: &str = "
    (cardinality($1::text[]) = 0 OR d.reason = ANY ($1)) AND ($2::uuid IS NULL OR d.playbook_id = $2)
    AND ($3::float8 IS NULL OR d.created_at < now() - make_interval(secs => $3))
    AND ($4::float8 IS NULL OR d.created_at >= now() - make_interval(secs => $4))";

/// Those of whole messages, which a filter by playbook leaves out.
const MESSAGES: &str = "
    SELECT count(*) FROM dead_letters AS d
    WHERE (cardinality($1::text[]) = 0 OR d.reason = ANY ($1)) AND d.run_id IS NULL AND ($4 = 'all' OR d.status = $4)
      AND ($2::float8 IS NULL OR d.created_at < now() - make_interval(secs => $2))
      AND ($3::float8 IS NULL OR d.created_at >= now() - make_interval(secs => $3))";

/// A [`Filter`] as Postgres takes it.
pub(super) struct Parameters {
    reasons: Vec<&'static str>,
    playbook: Option<Uuid>,
    older_than: Option<f64>,
    newer_than: Option<f64>,
}

impl Parameters {
    pub(super) fn all(&self) -> [&(dyn ToSql + Sync); 4] {
        [&self.reasons, &self.playbook, &self.older_than, &self.newer_than]
    }

    /// Says how many there are in this state that may well be of the playbook, and are left out because nobody knows.
    pub(super) async fn remark_on_messages(&self, client: &Client, status: &str) -> Result<(), Error> {
        if self.playbook.is_none() {
            return Ok(());
        }
        let row = client.query_one(MESSAGES, &[&self.reasons, &self.older_than, &self.newer_than, &status]).await?;
        if let count @ 1.. = row.get::<_, i64>(0) {
            remark(&format!(
                "{count} dead letters of whole messages are left out: which playbooks they are for is not known (leave out \
                 --playbook to have them too)"
            ));
        }
        Ok(())
    }
}

impl Filter {
    pub(super) async fn parameters(&self, client: &Client) -> Result<Parameters, Error> {
        let playbook = match &self.playbook {
            Some(path) => Some(id_of(client, path).await?),
            None => None,
        };
        Ok(Parameters {
            reasons: self.reasons.iter().map(|reason| reason.as_str()).collect(),
            playbook,
            older_than: self.older_than.map(|age| age.as_secs_f64()),
            newer_than: self.newer_than.map(|age| age.as_secs_f64()),
        })
    }
}

async fn id_of(client: &Client, path: &PlaybookPath) -> Result<Uuid, Error> {
    let known = "SELECT p.id FROM playbooks p JOIN organizations o ON o.id = p.organization_id
                 WHERE o.slug = $1::text AND p.slug = $2::text";
    let row = client.query_opt(known, &[&path.organization.as_str(), &path.playbook.as_str()]).await?;
    row.map(|row| row.get(0)).ok_or_else(|| Error::Failed(format!("there is no playbook {path}")))
}

/// What was asked for, and makes sense: ids, or deliberately all. A forgotten argument must not mean everything.
pub(super) enum Chosen {
    These(Vec<Uuid>),
    All(Filter, Option<u32>),
}

impl Chosen {
    pub(super) fn new(which: Which) -> Result<Self, Error> {
        let filtered = which.filter != Filter::default() || which.limit.is_some();
        match (which.ids.is_empty(), which.all) {
            (true, true) => Ok(Self::All(which.filter, which.limit)),
            (false, false) if !filtered => Ok(Self::These(which.ids)),
            (true, false) => Err(Error::Usage("name dead letters by their ids, or say --all".to_owned())),
            (false, _) => Err(Error::Usage("ids or --all with filters, not both".to_owned())),
        }
    }

    /// True if exactly one was named.
    pub(super) fn is_one(&self) -> bool {
        matches!(self, Self::These(ids) if ids.len() == 1)
    }

    /// How many at most.
    pub(super) fn limit(&self) -> Option<u32> {
        match self {
            Self::These(_) => None,
            Self::All(_, limit) => *limit,
        }
    }

    /// The named ones in the order of the arguments, or the open ones, oldest first.
    pub(super) async fn ids(self, client: &Client) -> Result<Vec<Uuid>, Error> {
        let (filter, limit) = match self {
            Self::These(ids) => return Ok(ids),
            Self::All(filter, limit) => (filter.parameters(client).await?, limit.map(i64::from)),
        };
        filter.remark_on_messages(client, "open").await?;
        let sql = format!(
            "SELECT d.id FROM dead_letters AS d WHERE {FILTER} AND d.status = 'open' ORDER BY d.created_at, d.id LIMIT $5"
        );
        let parameters: Vec<_> = filter.all().into_iter().chain([&limit as &(dyn ToSql + Sync)]).collect();
        let rows = client.query(&sql, &parameters).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}
