//! What was killed, and does not come back.

use drill::{Book, Client, Event, Invariant, Kill, Part};
use local::Stack;

/// That a gateway or a worker does not come back is what a drill is for to find; a server of somebody else is not.
#[tokio::test]
async fn it_is_a_violation_of_ours_and_no_drill_without_a_server() {
    let stack = Stack::builder().gateways(2).workers(1).restart(false).start().await.expect("a stack");
    let client = Client::new(stack.urls(), vec![]).unwrap();
    let book = Book::default();
    let kill = async |part, process: &str| {
        Kill { part, process: process.to_owned() }.perform(&stack, &client, &book, &[]).await
    };
    for (part, process, invariant) in
        [(Part::Worker, "worker-1", Invariant::I3), (Part::Gateway, "gateway-2", Invariant::I6)]
    {
        let violations = kill(part, process).await.expect("a drill goes on");
        let [violation] = &violations[..] else { panic!("{violations:?}") };
        assert_eq!(violation.invariant, invariant);
        let words = format!("{process} was killed and did not come back: {process} ended");
        assert!(violation.text.starts_with(&words), "{violation}");
    }
    let noted: Vec<_> = book.record().notes.iter().map(|note| (note.event, note.to)).collect();
    assert_eq!(noted, [(Event::Unchecked { gateway: 1 }, None)]);
    kill(Part::Redis, "redis").await.expect_err("nothing can be drilled without it");
    stack.shutdown().await.expect("it stops");
}
