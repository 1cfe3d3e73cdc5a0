//! Holds a stack of the three servers, and ends in the way that its argument says; without one, not by itself. The tests
//! run it, to see that however a stack's owner ends, nothing of the stack is left.

use anyhow::Result;
use local::Stack;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let stack = Stack::builder().gateways(0).workers(0).migrate(false).durable(false).start().await?;
    eprintln!("holding");
    match std::env::args().nth(1).as_deref() {
        Some("drop") => drop(stack),
        Some("shutdown") => stack.shutdown().await?,
        Some("panic") => panic!("as told"),
        Some("exit") => leave(),
        Some("abort") => std::process::abort(),
        _ => std::future::pending().await,
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "to end without destructors is the point here")]
fn leave() -> ! {
    std::process::exit(0)
}
