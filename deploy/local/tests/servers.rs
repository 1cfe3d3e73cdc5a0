//! The three servers alone.
use local::Stack;
#[tokio::test]
async fn smoke() {
    let t = std::time::Instant::now();
    let stack = Stack::builder().gateways(0).workers(0).migrate(false).durable(false).start().await.unwrap();
    eprintln!("started {:?}", t.elapsed());
    eprintln!("{:#?}", stack.processes());
    let t = std::time::Instant::now();
    let dir = stack.directory().to_owned();
    drop(stack);
    eprintln!("dropped {:?}", t.elapsed());
    assert!(!dir.exists());
}
