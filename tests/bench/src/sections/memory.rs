//! What a worker needs while a great many deliveries wait, and what they take on NATS' disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Result;

use super::drain::drain;
use crate::bench::Bench;
use crate::measure::{Load, measure};

/// All of it, once.
pub(crate) async fn run(bench: &mut Bench) -> Result<()> {
    let name = "memory.million";
    if !bench.wants(name) {
        return Ok(());
    }
    bench.progress.part("memory: a worker before a million deliveries");
    let count = bench.settings.sizes.backlog;
    bench.stage.stop_workers().await?;
    bench.stage.clear().await?;
    let queue = bench.stage.stack.directory().join("nats");
    let empty = bytes_below(&queue);
    bench.progress.step("filling the queue");
    measure(&bench.stage, &Load::count(bench.stage.gateways(), 256, count), &mut bench.requests)?;
    bench.book.room.nats_per_delivery = Some(bytes_below(&queue).saturating_sub(empty) as f64 / count as f64);
    bench.progress.step("draining it");
    let sample = drain(&bench.stage, count).await?;
    bench.note(name, sample);
    Ok(())
}

/// What a folder takes on the disk, as du(1) counts it.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        // st_blocks counts units of 512 bytes, whatever the file system's are (inode(7)).
        Ok(metadata) => metadata.blocks() * 512,
        // Removed meanwhile.
        Err(_) => 0,
    });
    bytes.sum()
}
