//! TCP ports that stay ours while a child that dies is started again, although nobody listens on them then.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    ops::Range,
};

use anyhow::{Result, bail};

/// A TCP port on 127.0.0.1, reserved among all stacks of this machine for as long as this value lives.
///
/// The reservation is a UDP socket bound to the same number: no two stacks can hold it, it takes nothing from TCP, and the kernel
/// releases it however its owner ends. The port is outside the range from which the kernel gives ports to outgoing
/// connections, so none of those can take it either.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _reservation: UdpSocket,
}

impl Port {
    pub(crate) fn reserve() -> Result<Port> {
        Port::reserve_in(range())
    }

    fn reserve_in(range: Range<u16>) -> Result<Port> {
        for _ in 0..1000 {
            let number = fastrand::u16(range.clone());
            let Ok(reservation) = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)) else { continue };
            // Somebody who is no stack may listen there.
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Port { number, _reservation: reservation });
            }
        }
        bail!("no free port on 127.0.0.1 between {} and {}", range.start, range.end - 1)
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

fn range() -> Range<u16> {
    // Below the kernel's range: 32768 by default on Linux, 49152 elsewhere.
    let kernel = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let low = kernel.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(49152);
    // Where the kernel's range leaves no room below, a collision is unlikely rather than impossible.
    if low >= 12000 { 10000..low } else { 10000..65535 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_given_to_nobody_else_and_leaves_tcp_free() {
        // As many as there are in a range, so that each must have been refused whenever it was drawn again.
        let range = 20000..20030;
        let taken = |number: &u16| UdpSocket::bind((Ipv4Addr::LOCALHOST, *number)).is_err();
        let free = range.clone().filter(|number| !taken(number)).count();
        let ports: Vec<_> = std::iter::from_fn(|| Port::reserve_in(range.clone()).ok()).take(free + 1).collect();
        let mut numbers: Vec<_> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ports.len());
        assert!(ports.len() > 1);
        for port in &ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).expect("TCP is free");
        }
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_taken() {
        let port = Port::reserve().expect("a port");
        let number = port.number();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).expect("TCP is free");
        drop(port);
        Port::reserve_in(number..number + 1).expect_err("somebody listens");
        drop(listener);
        Port::reserve_in(number..number + 1).expect("nobody listens");
    }
}
