//! `/control/…`: the interface with which tests control the provider, in JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::web::{Data, Json, Path, ServiceConfig, delete, get, patch, post, put};
use actix_web::{HttpResponse, Responder};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::{Fault, Flavour, Misbehaviour};

type Shared = Data<Arc<App>>;

pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .route("/control/environment", get().to(environment))
        .route("/control/counters", get().to(counters))
        .route("/control/counters", delete().to(forget_counters))
        .route("/control/issued", get().to(issued))
        .route("/control/presented", get().to(presented))
        .route("/control/people", get().to(people))
        .route("/control/people", post().to(add_people))
        .route("/control/people/{person}/claims", put().to(claims))
        .route("/control/settings", get().to(settings))
        .route("/control/settings", patch().to(change_settings))
        .route("/control/faults", get().to(faults))
        .route("/control/faults", post().to(inject))
        .route("/control/faults", delete().to(forget_faults))
        .route("/control/misbehaviour", put().to(misbehave))
        .route("/control/rotate-keys", post().to(rotate_keys))
        .route("/control/revoke", post().to(revoke));
}

async fn environment(app: Shared) -> impl Responder {
    Json(app.environment())
}

async fn counters(app: Shared) -> impl Responder {
    Json(app.state().counters.clone())
}

async fn forget_counters(app: Shared) -> impl Responder {
    app.state().counters = BTreeMap::new();
    HttpResponse::NoContent()
}

async fn issued(app: Shared) -> impl Responder {
    Json(app.state().issued.clone())
}

async fn presented(app: Shared) -> impl Responder {
    Json(app.state().presented.clone())
}

async fn people(app: Shared) -> impl Responder {
    let people: Vec<Value> = app
        .state()
        .people
        .iter()
        .map(|person| {
            json!({
                "id": person.id, "name": person.name, "email": person.email,
                "verified": person.verified, "hosted_domain": person.hosted_domain,
                "tenant": person.tenant, "subject": person.subject(),
                "object_id": person.object_id(), "claims": person.claims,
            })
        })
        .collect();
    Json(people)
}

/// Adds people of acme.example with these short names.
async fn add_people(app: Shared, names: Json<Vec<String>>) -> impl Responder {
    app.state().people.add(&names);
    HttpResponse::NoContent()
}

async fn claims(
    app: Shared,
    person: Path<String>,
    claims: Json<Map<String, Value>>,
) -> impl Responder {
    match app.state().people.get_mut(&person) {
        Some(person) => {
            person.claims = claims.into_inner();
            HttpResponse::NoContent().finish()
        }
        None => HttpResponse::NotFound().body("there is no account with this name"),
    }
}

async fn settings(app: Shared) -> impl Responder {
    Json(app.state().settings.clone())
}

async fn change_settings(app: Shared, change: Json<Map<String, Value>>) -> impl Responder {
    let mut state = app.state();
    let Ok(Value::Object(mut merged)) = serde_json::to_value(&state.settings) else {
        return HttpResponse::InternalServerError().finish();
    };
    merged.extend(change.into_inner());
    match serde_json::from_value(Value::Object(merged)) {
        Ok(settings) => {
            state.settings = settings;
            HttpResponse::Ok().json(&state.settings)
        }
        Err(error) => HttpResponse::BadRequest().body(error.to_string()),
    }
}

async fn faults(app: Shared) -> impl Responder {
    Json(app.state().faults.clone())
}

async fn inject(app: Shared, fault: Json<Fault>) -> impl Responder {
    app.state().faults.push(fault.into_inner());
    HttpResponse::NoContent()
}

async fn forget_faults(app: Shared) -> impl Responder {
    app.state().faults.clear();
    HttpResponse::NoContent()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Misbehave {
    flavour: Flavour,
    misbehaviour: Option<Misbehaviour>,
}

async fn misbehave(app: Shared, order: Json<Misbehave>) -> impl Responder {
    let mut state = app.state();
    match order.misbehaviour {
        Some(how) => state.misbehaviours.insert(order.flavour, how),
        None => state.misbehaviours.remove(&order.flavour),
    };
    HttpResponse::NoContent()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RotateKeys {
    flavour: Flavour,
    #[serde(default)]
    keep_old: bool,
}

async fn rotate_keys(app: Shared, order: Json<RotateKeys>) -> impl Responder {
    match app.state().rotate_keys(order.flavour, order.keep_old) {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    person: String,
    #[serde(default)]
    flavour: Option<Flavour>,
}

async fn revoke(app: Shared, order: Json<Revoke>) -> impl Responder {
    let mut state = app.state();
    match state
        .people
        .get(&order.person)
        .map(|person| person.id.clone())
    {
        Some(person) => {
            state.revoke_person(&person, order.flavour);
            HttpResponse::NoContent().finish()
        }
        None => HttpResponse::NotFound().body("there is no account with this name"),
    }
}
