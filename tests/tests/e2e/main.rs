//! Runlatch end to end: real servers, real processes, real HTTP.

mod audit;
mod bounds;
mod burst;
mod catalog;
mod chaos;
mod claims;
mod contract;
mod dead_letters;
mod hostile;
mod input_schema;
mod kill_points;
mod nats_outage;
mod nats_refuses;
mod order;
mod payload;
mod postgres_outage;
mod processes;
mod queue;
mod redis_outage;
mod redis_refuses;
mod roles;
mod run_status;
mod secrets;
mod standards;
mod wait;
mod wire;
