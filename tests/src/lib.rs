//! What the end-to-end tests share: a [`World`] of real servers, [`Delivery`]s sent to it over real HTTP, and
//! [`Answer`]s held to the contract.

mod answer;
pub mod chaos;
mod claims;
pub mod contract;
mod delivery;
pub mod frames;
mod leaks;
mod mortal;
mod outage;
pub mod raw;
mod rows;
mod world;

pub use answer::{Answer, Success};
pub use delivery::{Delivery, Playbook, payload};
pub use mortal::{IMMORTAL, Side, mortal};
pub use rows::Run;
pub use world::{CATALOG, World, eventually};
