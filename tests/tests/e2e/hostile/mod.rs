//! Clients that mean harm, over real sockets. Whatever they do, the gateway stays up and within its memory, serves
//! others meanwhile, answers what can be answered, binds no key for what it refused, and logs nothing of it.

mod framing;
mod http1;
mod http2;
mod siege;
