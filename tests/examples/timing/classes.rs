//! Kinds of wrong secrets.

use harness::Playbook;
use proto::secret::Secret;

/// What a difference would tell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What nobody may learn.
    Secret,
    /// That a playbook exists. A look-up that finds touches a little more memory than one that does not, so some
    /// nanoseconds are allowed; a comparison more or less is beyond them.
    Existence,
    /// What the caller knows.
    Public,
}

impl Kind {
    /// Nanoseconds that two classes may differ by.
    pub(crate) const fn allowed(self) -> f64 {
        match self {
            Self::Secret => 0.0,
            Self::Existence => 25.0,
            Self::Public => f64::INFINITY,
        }
    }
}

/// Requests that are refused alike.
pub(crate) struct Class {
    pub(crate) name: &'static str,
    /// The class that it is compared with, or itself.
    pub(crate) against: &'static str,
    pub(crate) kind: Kind,
    pub(crate) status: u16,
    /// Whether these secrets begin as the right one does, for half of it at least.
    pub(crate) begins_right: bool,
    pub(crate) requests: Vec<Vec<u8>>,
}

/// How many different secrets a class has, so that no one secret's luck is taken for the class's.
const VARIETY: usize = 256;
const NOTHING: &str = "nothing is right";
const UNKNOWN: &str = "(404) the playbook does not exist";

pub(crate) fn all(deploy: &Playbook, resting: &Playbook) -> Vec<Class> {
    let right = deploy.secret.as_str();
    let class = |name, secret: &dyn Fn() -> String| Class {
        name,
        against: NOTHING,
        kind: Kind::Secret,
        status: 401,
        begins_right: secret().starts_with(&right[..right.len() / 2]),
        requests: (0..VARIETY).map(|_| request(&deploy.path, &secret())).collect(),
    };
    let unknown = deploy.path.replace("deploy", "nobody");
    let elsewhere = |name, path: &str, against, kind| Class {
        name,
        against,
        kind,
        status: 404,
        begins_right: false,
        requests: (0..VARIETY).map(|_| request(path, &random())).collect(),
    };
    vec![
        class(NOTHING, &random),
        class("nothing is right, once more", &random),
        class("the first half is right", &|| begins_like(right, right.len() / 2)),
        class("all but the last character is right", &|| begins_like(right, right.len() - 1)),
        class("all but the first character is right", &|| format!("x{}", &right[1..])),
        class("nothing is right, the checksum neither", &|| begins_like(&random(), right.len() - 6)),
        class("all but one is right, and the checksum", &|| neighbour(right)),
        class("right, but for one character too few", &|| right[..right.len() - 1].to_owned()),
        // Which the caller knows who sends it.
        Class { kind: Kind::Public, begins_right: false, ..class("nine times as long", &|| right.repeat(9)) },
        elsewhere(UNKNOWN, &unknown, UNKNOWN, Kind::Public),
        elsewhere("(404) it exists, and is disabled", &resting.path, UNKNOWN, Kind::Existence),
    ]
}

fn random() -> String {
    let mut entropy = [0; 32];
    fastrand::fill(&mut entropy);
    Secret::from_entropy(&entropy).reveal().to_owned()
}

/// As many characters as said are those of `right`; the next one is not, and the rest are drawn.
fn begins_like(right: &str, length: usize) -> String {
    let drawn = |_| fastrand::alphanumeric();
    let wrong = std::iter::repeat_with(fastrand::alphanumeric).find(|c| !right[length..].starts_with(*c));
    right[..length].chars().chain(wrong).chain((length + 1..right.len()).map(drawn)).collect()
}

/// The secret of an entropy that is greater by a little: another last character before the checksum, which is its own.
fn neighbour(right: &str) -> String {
    let number = |text: &str| base62::decode(text).expect("the secret is a generated one");
    let (high, low) = (number(&right[5..27]), number(&right[27..49]));
    let low = low.wrapping_add(u128::from(fastrand::u8(1..=9)));
    let mut entropy = [0; 32];
    entropy[..16].copy_from_slice(&high.to_be_bytes());
    entropy[16..].copy_from_slice(&low.to_be_bytes());
    Secret::from_entropy(&entropy).reveal().to_owned()
}

fn request(path: &str, secret: &str) -> Vec<u8> {
    let head = "host: x\r\nx-idempotency-key: timing\r\ncontent-length: 2";
    format!("POST {path} HTTP/1.1\r\nx-webhook-secret: {secret}\r\n{head}\r\n\r\n{{}}").into_bytes()
}
