//! Every pair of neighbouring checks: where both would refuse, the earlier one answers.

use harness::{Delivery, World, eventually};

#[tokio::test]
async fn the_earlier_check_answers() {
    let world = World::start().await;
    let deploy = world.playbook("acme/deploy").await;
    let resting = world.playbook("acme/resting").await;
    let large = vec![b'x'; 512 * 1024 + 1];
    let key = "x-idempotency-key";
    let secret = "x-webhook-secret";
    let bound = world.send(deploy.delivery("bound")).await.created();
    let k = || deploy.delivery("k");

    // 1 before 3; 2 has a test of its own, since it needs a saturated gateway.
    expect(&world, k().path("/").without(secret), 404, "not_found").await;
    expect(&world, k().method("GET").without(secret), 405, "method_not_allowed").await;
    expect(&world, k().method("GET").path(&format!("{}/", deploy.path)), 404, "not_found").await;
    // 3 before 4.
    expect(&world, k().path(&deploy.path.replace("acme", "nobody")).without(secret), 401, "invalid_secret").await;
    // 4 before 5.
    expect(&world, k().path(&deploy.path.replace("deploy", "nothing")).secret("wrong"), 404, "not_found").await;
    // 5 before 6.
    expect(&world, resting.delivery("k").secret("wrong"), 404, "not_found").await;
    // 6 before 8 (7 comes with the limits).
    expect(&world, resting.probe(), 404, "playbook_disabled").await;
    // 5 before 8.
    expect(&world, k().secret("wrong").without(key), 401, "invalid_secret").await;
    // 8 before 9.
    expect(&world, k().without(key).query("project="), 400, "missing_idempotency_key").await;
    // 9 before 10.
    expect(&world, k().query("project=").body(large.clone()), 400, "invalid_query").await;
    // 10 before 11.
    expect(&world, k().body(large), 413, "payload_too_large").await;
    // 11 before 12.
    expect(&world, k().body("[]").query("project=nothing"), 400, "invalid_body").await;
    // Within 12, the project comes first.
    expect(&world, k().query("template=nothing&project=nothing"), 422, "project_not_found").await;
    // 12 before 13 for a key that nobody holds; a key that is held has its say first.
    expect(&world, deploy.delivery("free").query("project=nothing"), 422, "project_not_found").await;
    world.send(deploy.delivery("bound").query("project=nothing")).await.conflicts_with(bound.run);
    // 11 before 13.
    expect(&world, deploy.delivery("bound").body("[]"), 400, "invalid_body").await;

    // 13 before 14 stands with the queue's own test; 12 before 14:
    world.stack.halt("nats").await.expect("halts");
    eventually("the gateway notices", async || {
        (world.send(deploy.delivery("noticed")).await.status == 503).then_some(())
    })
    .await;
    expect(&world, deploy.delivery("free").query("template=nothing"), 422, "template_not_found").await;
    world.send(deploy.delivery("bound").body("{}")).await.conflicts_with(bound.run);
    world.stack.start("nats").await.expect("starts");

    // 6: the playbook's own state before a kill switch, and a kill switch before 8.
    world.stack.runlatch(&["kill-switch", "on"]).await.expect("engages");
    eventually("the switch is in force", async || (world.send(deploy.probe()).await.status == 404).then_some(())).await;
    expect(&world, deploy.probe(), 404, "kill_switch_engaged").await;
    expect(&world, resting.probe(), 404, "playbook_disabled").await;
    expect(&world, k().secret("wrong"), 404, "not_found").await;
    world.end().await;
}

#[track_caller]
fn expect<'a>(
    world: &'a World,
    delivery: Delivery,
    status: u16,
    code: &'static str,
) -> impl Future<Output = ()> + use<'a> {
    let caller = std::panic::Location::caller();
    async move {
        let answer = world.send(delivery).await;
        assert_eq!(answer.status, status, "{caller}: {answer:?}");
        answer.refused(status, code);
    }
}
