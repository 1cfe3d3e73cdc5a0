//! Who may log in to the stack's PostgreSQL, and as what.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use uuid::Uuid;

/// A login to the stack's PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// May do anything: end other sessions, change the server's settings.
    Superuser,
    /// Owns the database and may create roles: who migrates. As little as that takes, on purpose.
    Owner,
    /// The operator's command line. This and the following exist once the stack has migrated.
    Operator,
    /// The gateways.
    Gateway,
    /// The workers.
    Worker,
}

impl Role {
    fn login(self) -> &'static str {
        match self {
            Role::Superuser => "postgres",
            Role::Owner => "owner",
            Role::Operator => "operator",
            Role::Gateway => "gateway",
            Role::Worker => "worker",
        }
    }
}

/// The random passwords of one stack.
pub(crate) struct Roles(BTreeMap<&'static str, String>);

impl Roles {
    pub(crate) fn draw() -> Roles {
        let roles = [Role::Superuser, Role::Owner, Role::Operator, Role::Gateway, Role::Worker];
        Roles(roles.map(|role| (role.login(), random())).into())
    }

    pub(crate) fn password(&self, role: Role) -> &str {
        &self.0[role.login()]
    }

    pub(crate) fn url(&self, role: Role, port: u16) -> String {
        format!("postgres://{}:{}@127.0.0.1:{port}/runlatch", role.login(), self.password(role))
    }

    /// Makes the database and its owner, in a new cluster.
    pub(crate) async fn create_owner(&self, port: u16) -> Result<()> {
        // Renaming the database that initdb made is free; copying one takes a tenth of a second.
        let statements = format!(
            "CREATE ROLE owner LOGIN CREATEROLE PASSWORD '{}';
             ALTER DATABASE postgres RENAME TO runlatch;
             ALTER DATABASE runlatch OWNER TO owner;",
            self.password(Role::Owner),
        );
        let template = self.url(Role::Superuser, port).replace("/runlatch", "/template1");
        execute(&template, &statements).await.context("cannot create the database")
    }

    /// Makes a login for each of the group roles that the migrations made.
    pub(crate) async fn create_logins(&self, port: u16) -> Result<()> {
        let statements = [Role::Operator, Role::Gateway, Role::Worker].map(|role| {
            let (login, password) = (role.login(), self.password(role));
            format!("CREATE ROLE {login} LOGIN PASSWORD '{password}' IN ROLE runlatch_{login};")
        });
        execute(&self.url(Role::Owner, port), &statements.concat()).await.context("cannot create the logins")
    }
}

/// 64 hexadecimal digits, 244 bits of them random.
pub(crate) fn random() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

async fn execute(url: &str, statements: &str) -> Result<()> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let run = async move { client.batch_execute(statements).await };
    // The connection ends by itself once the client, which `run` owns, is gone.
    let (done, _) = tokio::join!(run, connection);
    Ok(done?)
}
