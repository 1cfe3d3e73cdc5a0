//! Spoils the database of a stack, so that the judge can be seen to find it.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, ensure};
use local::{Role, Stack};

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// A run is deleted.
    Lose,
    /// A run is there a second time, under another id.
    Double,
    /// A run's payload is another.
    Alter,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lose, Self::Double, Self::Alter];

    /// As the operator writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lose => "lose",
            Self::Double => "double",
            Self::Alter => "alter",
        }
    }

    /// Does it, to one run.
    pub async fn commit(self, stack: &Stack) -> Result<()> {
        let statement = match self {
            Self::Lose => "DELETE FROM runs WHERE id = (SELECT min(id::text)::uuid FROM runs)",
            Self::Double => {
                "INSERT INTO runs SELECT gen_random_uuid(), organization_id, playbook_id, project_id, template_id,
                     idempotency_key, fingerprint, payload, accepted_at, created_at FROM runs ORDER BY id LIMIT 1"
            }
            Self::Alter => {
                r#"UPDATE runs SET payload = '{"altered":true}' WHERE id = (SELECT max(id::text)::uuid FROM runs)"#
            }
        };
        let (client, connection) =
            tokio_postgres::connect(&stack.database_url(Role::Superuser), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        ensure!(client.execute(statement, &[]).await? == 1, "there is no run to spoil");
        Ok(())
    }
}

impl fmt::Display for Sabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sabotage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|sabotage| sabotage.name() == text);
        found.ok_or_else(|| format!("expected {}", Self::ALL.map(Self::name).join(", ")))
    }
}
