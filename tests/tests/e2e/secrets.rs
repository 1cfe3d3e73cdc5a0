//! I7: that no secret is logged is checked at the end of every test. Here that check is itself put to the test.

use std::fs::OpenOptions;
use std::io::Write;

use harness::World;

#[tokio::test]
async fn the_search_for_logged_secrets_finds_them() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    assert_eq!(world.leaks(), Vec::<String>::new());
    let path = world.stack.log_path("worker-1");
    let before = std::fs::metadata(&path).expect("a log").len();
    let mut log = OpenOptions::new().append(true).open(&path).expect("a log");
    for forbidden in [&deploy.secret, world.stack.pepper(), &harness::payload("k")] {
        writeln!(log, "something about {forbidden} in a line").expect("written");
    }
    assert_eq!(world.leaks().len(), 3);
    drop(log);
    OpenOptions::new().write(true).open(&path).expect("a log").set_len(before).expect("cut");
    world.end().await;
}
