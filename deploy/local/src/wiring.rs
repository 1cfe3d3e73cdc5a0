//! The wires of a stack: one from each kind of program to each server that it uses.

use anyhow::Result;
use tokio::runtime::Handle;

use crate::{Role, Server, Stack, Wire, stack::Ports};

/// Who talks to whom.
const PAIRS: [(Role, Server); 5] = [
    (Role::Gateway, Server::Postgres),
    (Role::Gateway, Server::Redis),
    (Role::Gateway, Server::Nats),
    (Role::Worker, Server::Postgres),
    (Role::Worker, Server::Nats),
];

pub(crate) struct Wiring(Vec<(Role, Server, Wire)>);

impl Wiring {
    pub(crate) fn none() -> Wiring {
        Wiring(vec![])
    }

    pub(crate) fn lay(runtime: &Handle, ports: &Ports) -> Result<Wiring> {
        let wire = |(role, server)| Ok((role, server, Wire::on(runtime, ports.of(server))?));
        PAIRS.into_iter().map(wire).collect::<Result<_>>().map(Wiring)
    }

    fn find(&self, role: Role, server: Server) -> Option<&Wire> {
        self.0.iter().find(|wire| (wire.0, wire.1) == (role, server)).map(|(_, _, wire)| wire)
    }
}

impl Stack {
    /// The wire between a server and all gateways and workers. Whoever uses the stack's addresses goes past it.
    ///
    /// # Panics
    /// Where the stack was not built with [`Builder::wire`](crate::Builder::wire).
    pub fn wire(&self, server: Server) -> Wire {
        let wire = Wire::join(self.wiring.0.iter().filter(|wire| wire.1 == server).map(|(_, _, wire)| wire));
        wire.expect("a stack with wires")
    }

    /// The part of it that belongs to the gateways, or to the workers.
    ///
    /// # Panics
    /// As [`Stack::wire`], and where such programs do not use that server.
    pub fn wire_of(&self, role: Role, server: Server) -> Wire {
        self.wiring.find(role, server).expect("a stack with wires, and one between these").clone()
    }

    /// Where the gateways or the workers find a server.
    pub(crate) fn port_for(&self, role: Role, server: Server) -> u16 {
        self.wiring.find(role, server).map_or_else(|| self.ports.of(server), Wire::port)
    }
}
