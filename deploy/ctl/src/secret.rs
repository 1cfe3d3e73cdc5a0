//! `runlatch secret`: who may deliver to a playbook. A playbook has two slots, so that a rotation overlaps: create the
//! second, move the senders over, revoke the first.

use std::io::{IsTerminal, Read};

use proto::secret::{Pepper, Secret};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{Error, cli::PlaybookPath, output::say, remark};

/// Timestamps as the rest of the product writes them.
const TIME: &str = "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'";

/// A secret, and whether whoever runs us has it already.
pub(crate) enum Candidate {
    Generated(Secret),
    Brought(Secret),
}

/// A new secret from the operating system's randomness.
pub(crate) fn generate() -> Result<Candidate, Error> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(|error| Error::Failed(format!("no randomness to be had: {error}")))?;
    Ok(Candidate::Generated(Secret::from_entropy(&entropy)))
}

/// An existing secret from stdin.
pub(crate) fn read() -> Result<Candidate, Error> {
    let stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        return Err(Error::Usage("--stdin at a terminal would show the secret: use a pipe or a file".to_owned()));
    }
    let mut bytes = Vec::new();
    // Room for a newline, and for one byte that tells the too long from the longest.
    let most = Secret::MAX_LEN as u64 + 3;
    stdin.take(most).read_to_end(&mut bytes).map_err(|error| Error::Failed(format!("stdin: {error}")))?;
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let invalid = |error: proto::secret::InvalidSecret| Error::Input(vec![format!("stdin: {error}")]);
    let text = std::str::from_utf8(line).map_err(|_| invalid(proto::secret::InvalidSecret))?;
    Ok(Candidate::Brought(Secret::import(text).map_err(invalid)?))
}

pub(crate) async fn create(
    client: &mut Client,
    path: &PlaybookPath,
    candidate: &Candidate,
    pepper: &Pepper,
) -> Result<(), Error> {
    let (Candidate::Generated(secret) | Candidate::Brought(secret)) = candidate;
    let digest = pepper.digest(secret.reveal().as_bytes());

    let transaction = client.transaction().await?;
    // Holds off other creates for this playbook until the commit, so that the slot found free stays free; but not the
    // worker, whose runs refer to this row.
    let lock = "SELECT p.id FROM playbooks p JOIN organizations o ON o.id = p.organization_id
                WHERE o.slug = $1::text AND p.slug = $2::text FOR NO KEY UPDATE OF p";
    let row = transaction.query_opt(lock, &[&path.organization.as_str(), &path.playbook.as_str()]).await?;
    let playbook: Uuid = row.ok_or_else(|| unknown(path))?.get(0);

    let live = "SELECT id, slot, digest = $2 FROM webhook_secrets WHERE playbook_id = $1 AND revoked_at IS NULL";
    let live = transaction.query(live, &[&playbook, &digest.as_bytes().as_slice()]).await?;
    if let Some(same) = live.iter().find(|row| row.get(2)) {
        let id: Uuid = same.get(0);
        return Err(Error::Failed(format!("this secret is live for {path} already, as {id}")));
    }
    let taken: Vec<i16> = live.iter().map(|row| row.get(1)).collect();
    let Some(slot) = [1_i16, 2].into_iter().find(|slot| !taken.contains(slot)) else {
        return Err(Error::Failed(format!(
            "{path} has two live secrets, which is the most: pick the older one from `runlatch secret list {path}` \
             and retire it with `runlatch secret revoke ID`"
        )));
    };
    let insert = "INSERT INTO webhook_secrets (playbook_id, slot, digest) VALUES ($1, $2, $3) RETURNING id";
    let row = transaction.query_one(insert, &[&playbook, &slot, &digest.as_bytes().as_slice()]).await?;
    let id: Uuid = row.get(0);
    // Before it is shown: a secret that was seen and does not work is worse than one that was lost and can be revoked.
    transaction.commit().await?;

    if let Candidate::Generated(secret) = candidate {
        say(secret.reveal()).map_err(|error| {
            Error::Failed(format!("{error}; nobody has seen the secret: revoke it, its id is {id}"))
        })?;
        remark(&format!("secret {id} opens {path} within a second; it was shown now and never again"));
    } else {
        remark(&format!("the secret opens {path} within a second; its id is {id}"));
    }
    if taken.len() == 1 {
        remark("two secrets are live now; revoke the older one when every sender has the new one");
    }
    Ok(())
}

pub(crate) async fn list(client: &Client, path: &PlaybookPath) -> Result<(), Error> {
    let known = "SELECT p.id FROM playbooks p JOIN organizations o ON o.id = p.organization_id
                 WHERE o.slug = $1::text AND p.slug = $2::text";
    let row = client.query_opt(known, &[&path.organization.as_str(), &path.playbook.as_str()]).await?;
    let playbook: Uuid = row.ok_or_else(|| unknown(path))?.get(0);
    let secrets = format!(
        "SELECT id, to_char(created_at AT TIME ZONE 'UTC', {TIME}), to_char(revoked_at AT TIME ZONE 'UTC', {TIME})
         FROM webhook_secrets WHERE playbook_id = $1 ORDER BY created_at, id"
    );
    let rows = client.query(&secrets, &[&playbook]).await?;
    if rows.is_empty() {
        remark(&format!("{path} has no secret: every delivery to it is refused"));
    }
    for row in rows {
        let (id, created, revoked): (Uuid, &str, Option<&str>) = (row.get(0), row.get(1), row.get(2));
        let state = revoked.map_or("live".to_owned(), |revoked| format!("revoked {revoked}"));
        say(&format!("{id}  created {created}  {state}"))?;
    }
    Ok(())
}

pub(crate) async fn revoke(client: &Client, id: Uuid) -> Result<(), Error> {
    let update = "UPDATE webhook_secrets SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL";
    let revoked = client.execute(update, &[&id]).await? > 0;
    let remaining = "
        SELECT o.slug || '/' || p.slug,
               (SELECT count(*) FROM webhook_secrets l WHERE l.playbook_id = p.id AND l.revoked_at IS NULL)
        FROM webhook_secrets s JOIN playbooks p ON p.id = s.playbook_id JOIN organizations o ON o.id = p.organization_id
        WHERE s.id = $1";
    let Some(row) = client.query_opt(remaining, &[&id]).await? else {
        return Err(Error::Failed(format!("there is no secret with the id {id}")));
    };
    let (path, live): (&str, i64) = (row.get(0), row.get(1));
    if revoked {
        say(&format!("secret {id} of {path} is revoked; {live} live"))?;
    } else {
        say(&format!("secret {id} of {path} was revoked before; {live} live"))?;
    }
    if live == 0 {
        remark(&format!("{path} has no live secret: every delivery to it is refused"));
    }
    Ok(())
}

fn unknown(path: &PlaybookPath) -> Error {
    Error::Failed(format!("there is no playbook {path}"))
}
