//! Searches the logs for what must not be in them (I7).

use std::fs;

use local::Stack;

/// Stands in every payload that the tests make up, so that a logged payload is found.
pub(crate) const CANARY: &str = "payload-canary-5fd1";

/// Lines, with the file's name, that hold any of `forbidden`.
pub(crate) fn search(stack: &Stack, forbidden: &[String]) -> Vec<String> {
    let logs = fs::read_dir(stack.directory().join("logs")).expect("the stack has logs");
    let mut found = Vec::new();
    let mut read = 0;
    for log in logs {
        let path = log.expect("an entry").path();
        let bytes = fs::read(&path).expect("a readable log");
        let text = String::from_utf8_lossy(&bytes);
        read += 1;
        let guilty = text.lines().filter(|line| forbidden.iter().any(|word| line.contains(word.as_str())));
        found.extend(guilty.map(|line| format!("{}: {line}", path.display())));
    }
    assert!(read >= 3, "only {read} logs were there to be read");
    found
}

/// The password in a URL.
pub(crate) fn password(url: &str) -> String {
    let credentials = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).expect("user:password@").0;
    let (_, password) = credentials.split_once(':').expect("user:password");
    assert!(password.len() >= 16, "too short to be searched for");
    password.to_owned()
}
