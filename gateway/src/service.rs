//! From a request to its answer: which of the things that are done here it is for, and that each is counted and named.

use std::time::{Duration, Instant};

use http::Request;
use http::request::Parts;
use hyper::body::Incoming;

use crate::activity::Activity;
use crate::batch;
use crate::cors;
use crate::handler::{Gateway, deliver, identify};
use crate::openapi;
use crate::refusal::Refusal;
use crate::request::route::{Resource, Route};
use crate::request::{Asked, body, headers::Headers, id::RequestId, trace};
use crate::respond::{self, Accepted, Response};
use crate::status::{self, Status};

/// Answers one request. Never fails: a refusal is an answer too.
pub(crate) async fn handle(gateway: &Gateway, activity: &Activity, head: &Parts, body: &mut Incoming) -> Response {
    let asked = Asked::read(head);
    let mut response = match answer(gateway, activity, &asked, body).await {
        Ok(response) => response,
        Err(refusal) => {
            log_fault(&asked.id, &refusal);
            let drained = body::drain(&gateway.draining, &head.headers, body).await;
            respond::refused(&refusal, head, drained)
        }
    };
    cors::open(&gateway.origins, &head.headers, &mut response);
    respond::named(asked.id, response)
}

/// Whether this request or one before it on its connection had a right secret, before anything else is done with it. One
/// that had not is refused as if there were no place among the deliveries in flight, in the order of the checks.
pub(crate) fn recognise(gateway: &Gateway, activity: &Activity, request: &Request<Incoming>) -> Result<(), Refusal> {
    if activity.authenticated() {
        return Ok(());
    }
    if request.uri().path() == openapi::PATH {
        return Err(Refusal::Overloaded);
    }
    let route = Route::read(request.method(), request.uri().path())?;
    // What is wrong with it is told in its turn.
    _ = identify(gateway, activity, &route, Headers::read(request.headers()).secret);
    if activity.authenticated() { Ok(()) } else { Err(Refusal::Overloaded) }
}

/// Refuses a request that nothing more is done with.
pub(crate) fn turn_away(gateway: &Gateway, request: Request<Incoming>, refusal: &Refusal) -> Response {
    gateway.metrics.count(refusal.told().code, Duration::ZERO);
    let head = request.into_parts().0;
    respond::named(Asked::read(&head).id, respond::refused(refusal, &head, false))
}

async fn answer(
    gateway: &Gateway,
    activity: &Activity,
    asked: &Asked<'_>,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    let head = asked.head;
    if asked.path() == openapi::PATH {
        openapi::read(&head.method, gateway.openapi)?;
        return Ok(respond::openapi(head));
    }
    if let Some(response) = cors::preflight(&gateway.origins, head) {
        return Ok(response);
    }
    let began = Instant::now();
    let unknown = |refusal: &Refusal| gateway.metrics.count(refusal.told().code, began.elapsed());
    let route = Route::read(&head.method, asked.path()).inspect_err(unknown)?;
    // What is boxed here would make the future of every delivery larger.
    match route.resource {
        Resource::Deliveries => {
            let result = deliver(gateway, activity, &route, asked, body, began).await;
            note(gateway, asked, &result, began);
            Ok(respond::accepted(asked.path(), &result?))
        }
        Resource::Batch => {
            let result = Box::pin(batch::deliver(gateway, activity, &route, asked, body)).await;
            gateway.metrics.count_batch(result.as_ref().map_or_else(|refusal| refusal.told().code, |_| "answered"));
            Ok(respond::batch(result?, head))
        }
        Resource::Runs | Resource::Run(_) => {
            let result = Box::pin(status::tell(gateway, activity, &route, asked)).await;
            gateway.metrics.count_status(result.as_ref().map_or_else(|refusal| refusal.told().code, Status::outcome));
            Ok(respond::run_status(&result?, head))
        }
    }
}

/// What callers are not told of a fault of ours.
pub(crate) fn log_fault(id: &RequestId, refusal: &Refusal) {
    if let Refusal::Internal(detail) = refusal {
        tracing::error!(request_id = id.as_str(), detail, "a request was answered 500");
    }
}

/// What became of a delivery, for those who look after it.
pub(crate) fn note(gateway: &Gateway, asked: &Asked<'_>, result: &Result<Accepted, Refusal>, began: Instant) {
    let outcome = respond::outcome(result);
    gateway.metrics.count(outcome, began.elapsed());
    tracing::debug!(
        request_id = asked.id.as_str(),
        traceparent = trace::parent(asked.headers.traceparent),
        run = result.as_ref().ok().map(|accepted| tracing::field::display(accepted.run())),
        outcome,
        "a delivery is answered"
    );
}
