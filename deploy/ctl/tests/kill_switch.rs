use crate::database::Database;

const ENGAGED: &str = "SELECT coalesce(slug::text, '*') FROM kill_switches LEFT JOIN organizations o ON o.id = organization_id ORDER BY 1";
const NONE: &str = "in force: none; deliveries are accepted\n";

#[tokio::test]
async fn the_global_switch_goes_on_and_off_and_says_what_is_in_force() {
    let database = Database::migrated().await;
    let on = database.run(&["kill-switch", "on"]).ok();
    let in_force = on.strip_prefix("the global kill switch is now on\n").unwrap().to_owned();
    assert!(in_force.starts_with("in force: deliveries to everybody are refused (since 20"), "{in_force}");
    assert_eq!(database.query(ENGAGED).await, "*");

    // The same row still, by the same hand, since the same moment.
    let again = database.run(&["kill-switch", "on"]).ok();
    assert_eq!(again, format!("the global kill switch was already on\n{in_force}"));
    assert_eq!(database.query(ENGAGED).await, "*");

    assert_eq!(database.run(&["kill-switch", "off"]).ok(), format!("the global kill switch is now off\n{NONE}"));
    assert_eq!(database.run(&["kill-switch", "off"]).ok(), format!("the global kill switch was already off\n{NONE}"));
    assert_eq!(database.query(ENGAGED).await, "");
}

#[tokio::test]
async fn an_organizations_switch_is_its_own() {
    let database = Database::migrated().await;
    database.apply("[organizations.acme]\n[organizations.bolt]").ok();
    database.run(&["kill-switch", "on", "acme"]).ok();
    database.run(&["kill-switch", "on"]).ok();
    assert_eq!(database.query(ENGAGED).await, "*\nacme");

    // Switching one off is of little use while another holds, so that one is named.
    let off = database.run(&["kill-switch", "off", "acme"]).ok();
    assert!(
        off.starts_with("the kill switch of organization acme is now off\nin force: deliveries to everybody"),
        "{off}"
    );
    database.run(&["kill-switch", "on", "bolt"]).ok();
    let off = database.run(&["kill-switch", "off"]).ok();
    assert!(off.contains("in force: deliveries to organization bolt are refused"), "{off}");
    assert_eq!(database.query(ENGAGED).await, "bolt");
}

#[tokio::test]
async fn an_unknown_organization_is_an_error() {
    let database = Database::migrated().await;
    let error = database.run(&["kill-switch", "on", "nobody"]).failed(1);
    assert_eq!(error, "runlatch: there is no organization nobody\n");
    assert_eq!(database.query(ENGAGED).await, "");
}

#[tokio::test]
async fn many_hands_at_once_engage_it_once() {
    let database = Database::migrated().await;
    let running: Vec<_> = (0..6).map(|_| database.start(&["kill-switch", "on"], "")).collect();
    let changed = |output: &String| output.starts_with("the global kill switch is now on");
    let outputs: Vec<String> = running.into_iter().map(|running| running.outcome().ok()).collect();
    assert_eq!(outputs.into_iter().filter(changed).count(), 1);
    assert_eq!(database.query(ENGAGED).await, "*");
}
