//! The fault to be found: a proxy that compares secrets as one must not, on the way to the gateway.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::wire::Connection;

/// Starts the proxy, and returns its address. Each right character costs `step` nanoseconds before the next is looked at.
pub(crate) fn start(gateway: &str, secret: String, step: u32) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let mut gateway = Connection::open(gateway);
    // One connection is all there is; the thread ends with it.
    std::thread::spawn(move || {
        let (client, _) = listener.accept().expect("a connection");
        serve(client, &mut gateway, secret.as_bytes(), Duration::from_nanos(u64::from(step)));
    });
    address
}

fn serve(mut client: TcpStream, gateway: &mut Connection, secret: &[u8], step: Duration) {
    client.set_nodelay(true).expect("a socket");
    let mut buffer = [0; 4096];
    // A request is one small write, and so one read.
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        let request = &buffer[..length];
        let name = b"x-webhook-secret: ";
        let at = request.windows(name.len()).position(|window| window == name).expect("a secret") + name.len();
        let right = request[at..].iter().zip(secret).take_while(|(one, other)| one == other).count();
        let begun = Instant::now();
        while begun.elapsed() < step * right as u32 {
            std::hint::spin_loop();
        }
        if client.write_all(gateway.exchange(request)).is_err() {
            return;
        }
    }
}
