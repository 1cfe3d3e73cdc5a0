//! Placeholder.
fn main() -> anyhow::Result<()> {
    local::install::install(&mut |line| {
        eprintln!("{line}");
    })
}
