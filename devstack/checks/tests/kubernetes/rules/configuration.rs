//! Variables, `ConfigMaps` and Secrets. `e2e/tests/deployment.rs` starts `config check` of each
//! program with the same variables.

use std::collections::BTreeSet;

use latchkey_checks::manifests::{Container, Rendering, list, text};
use serde_json::{Value, json};

use crate::facts::{Facts, with_facts};
use crate::rule::{NOTHING, each, rules, serving, settings};
use crate::spoil::{at, copy, push, set, set_variable};

use super::objects::namespace;

const SYNC: &str = "Deployment/sync-svc";

/// Published by Kubernetes in each namespace.
const KUBERNETES_CA: &str = "kube-root-ca.crt";

rules! {
    every_config_map_that_a_pod_uses_exists:
        |r| each(r.workloads(), |w| {
            maps_used(r, w).iter().all(|name| r.get("ConfigMap", name).is_some())
        }),
        unless |r| {
            set(r, "Deployment/auth-svc", "container/envFrom/1/configMapRef/name", "nobody")
        };

    every_config_map_is_used:
        |r| each(settings(r), |map| {
            r.workloads().any(|w| maps_used(r, w).contains(text(map, "/metadata/name")))
        }),
        unless |r| {
            copy(r, "ConfigMap/settings")?;
            set(r, "ConfigMap/copy", "/metadata/name", "copy-0123456789")
        };

    a_changed_setting_rolls_the_pods_out:
        |r| each(settings(r), |map| {
            let hash = text(map, "/metadata/name").rsplit('-').next().unwrap_or("");
            hash.len() == 10 && hash.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }),
        unless |r| {
            set(r, "ConfigMap/sync-svc-policy", "/metadata/name", "policy")?;
            let policy = volume(r, SYNC, "policy")?;
            *policy.pointer_mut("/configMap/name")? = "policy".into();
            Some(())
        };

    no_variable_is_set_twice:
        |r| each(r.all_containers(), |c| {
            let variables = r.variables(c);
            let names: BTreeSet<_> = variables.iter().map(|(name, _)| name).collect();
            names.len() == variables.len()
        }),
        unless |r| push(r, SYNC, "container/env", json!({ "name": "RUST_LOG", "value": "info" }));

    no_variable_is_empty:
        |r| each(r.all_containers(), |c| r.variables(c).iter().all(|(_, value)| !value.is_empty())),
        unless |r| push(r, SYNC, "container/env", json!({ "name": "GRPC_LISTEN", "value": "" }));

    every_variable_of_a_file_names_a_file_that_is_mounted:
        |r| with_facts(|facts| each(r.all_containers(), |c| {
            let variables = r.variables(c);
            let mut files = variables.iter().filter(|(name, _)| name.ends_with("_FILE"));
            files.all(|(_, file)| is_mounted(r, c, file, facts))
        })),
        unless |r| set_variable(r, SYNC, "DATABASE_URL_FILE", "/run/secrets/latchkey/database");

    every_key_of_a_secret_that_is_mounted_is_made:
        |r| with_facts(|facts| each(r.workloads(), |w| {
            let volumes = list(w, "/spec/template/spec/volumes").iter();
            let mut secrets = volumes.map(|volume| &volume["secret"]).filter(|one| !one.is_null());
            secrets.all(|secret| {
                let made = keys_of(r, text(secret, "/secretName"), facts);
                let mut keys = list(secret, "/items").iter().map(|item| text(item, "/key"));
                !made.is_empty() && keys.all(|key| made.contains(key))
            })
        })),
        unless |r| set(r, SYNC, "pod/volumes/0/secret/items/0/key", "database-uri");

    every_secret_that_a_custom_resource_names_is_made:
        |r| with_facts(|facts| {
            let wanted = r.objects.iter().filter(|one| is_custom(one));
            each(wanted, |one| {
                secrets_named(&one["spec"]).iter().all(|name| !keys_of(r, name, facts).is_empty())
            })
        }),
        unless |r| set(r, "User/sync-svc", "/spec/importCredentialsSecret/name", "nobody");

    a_pod_sees_no_secret_of_another_service:
        |r| each(r.workloads(), |w| {
            let own = text(w, "/metadata/labels/app.kubernetes.io~1name");
            let volumes = list(w, "/spec/template/spec/volumes").iter();
            let mut secrets = volumes.map(|volume| text(volume, "/secret/secretName"));
            let shared = ["", "demo-provider-tls", "postgresql-ca"];
            secrets.all(|secret| match secret {
                "providers" => ["auth-svc", "refresh-svc"].contains(&own),
                _ if shared.contains(&secret) => true,
                _ => secret.strip_suffix("-tls").unwrap_or(secret) == own,
            })
        }),
        unless |r| set(r, SYNC, "pod/volumes/0/secret/secretName", "auth-svc");

    only_refresh_svc_has_the_keys_that_open_grants:
        |r| each(r.workloads(), |w| {
            let has_keys = w.to_string().contains("sealing-private-keys");
            has_keys == (text(w, "/metadata/name") == "refresh-svc")
        }),
        unless |r| {
            let variable = json!({ "name": "SEALED_BY", "value": "sealing-private-keys" });
            push(r, SYNC, "container/env", variable)
        };

    no_manifest_has_a_secret:
        |r| {
            let mut faults = each(r.of_kind("Secret"), |_| false);
            faults.extend(each(r.all_containers(), |c| {
                r.variables(c).iter().all(|(name, value)| !is_secret(name, value))
            }));
            faults
        },
        unless |r| {
            let variable = json!({ "name": "AUTH_GOOGLE_CLIENT_SECRET", "value": "s3cret" });
            push(r, SYNC, "container/env", variable)
        };

    no_variable_comes_from_a_secret:
        |r| each(r.all_containers(), |c| {
            let mut sources = list(c.spec, "/env").iter().chain(list(c.spec, "/envFrom"));
            let is_secret = |one: &Value| {
                one.pointer("/valueFrom/secretKeyRef").is_some() || one.get("secretRef").is_some()
            };
            !sources.any(is_secret)
        }),
        unless |r| {
            let source = json!({ "secretRef": { "name": "sync-svc" } });
            push(r, SYNC, "container/envFrom", source)
        };

    auth_svc_calls_services_that_exist:
        |r| each(r.containers(), |c| {
            let variables = r.variables(c);
            let mut addresses = variables.iter().filter(|(name, _)| name.ends_with("_GRPC_URL"));
            addresses.all(|(_, address)| is_served(r, address))
        }),
        unless |r| {
            set_variable(r, "Deployment/auth-svc", "TOKEN_GRPC_URL", "https://refresh-svc:50052")
        };

    the_pages_of_auth_svc_may_use_both_services:
        |r| {
            let lacks = |service: &&str| !pages_are_allowed(r, service);
            let wanted = ["refresh-svc", "sync-svc"].into_iter().filter(lacks);
            wanted.map(|service| format!("the policy of {service} forbids auth-svc")).collect()
        },
        unless |r| set(r, "ConfigMap/refresh-svc-policy", "/data/policy.toml", "");

    auth_svc_sends_the_token_that_its_services_want:
        |r| {
            let services = r.containers().into_iter().filter(|c| wants_token(r, c));
            let audiences: BTreeSet<_> =
                services.map(|c| variable(r, &c, "CALLER_TOKEN_AUDIENCE")).collect();
            each(r.containers(), |c| {
                let file = variable(r, c, "GRPC_CLIENT_TOKEN_FILE");
                let is_caller = !variable(r, c, "TOKEN_GRPC_URL").is_empty();
                let projected = c.volume_of(&file).map_or(&NOTHING, |(volume, _)| volume);
                let sources = list(projected, "/projected/sources").iter();
                let sent: BTreeSet<_> = sources
                    .map(|source| text(source, "/serviceAccountToken/audience").to_owned())
                    .collect();
                !is_caller || sent == audiences
            })
        },
        unless |r| {
            let token = volume(r, "Deployment/auth-svc", "caller-token")?;
            let audience = "/projected/sources/0/serviceAccountToken/audience";
            *token.pointer_mut(audience)? = "other".into();
            Some(())
        };

    logs_are_json:
        |r| each(serving(r), |c| {
            let variables = r.variables(c);
            variables.iter().any(|(name, value)| name == "LOG_FORMAT" && value == "json")
        }),
        unless |r| set(r, "ConfigMap/settings", "/data/LOG_FORMAT", "text");

    sessions_of_a_public_address_are_secure:
        |r| each(r.of_kind("ConfigMap").filter(|_| r.overlay == "production"), |map| {
            let url = text(map, "/data/PUBLIC_URL");
            url.is_empty() || url.starts_with("https://")
        }),
        unless |r| {
            set(r, "ConfigMap/auth-svc-settings", "/data/PUBLIC_URL", "http://auth.example.com")
        };
}

/// The value of a variable of a container, or an empty text.
fn variable(rendering: &Rendering, container: &Container<'_>, name: &str) -> String {
    let variables = rendering.variables(container).into_iter();
    let mut values = variables.filter(|(one, _)| one == name);
    values.next().map(|(_, value)| value).unwrap_or_default()
}

/// Whether callers of a service cannot do without a token.
fn wants_token(rendering: &Rendering, container: &Container<'_>) -> bool {
    matches!(
        variable(rendering, container, "CALLERS_BY").as_str(),
        "token" | "both"
    )
}

/// The `ConfigMaps` that the pods of a workload use.
fn maps_used(rendering: &Rendering, workload: &Value) -> BTreeSet<String> {
    let volumes = list(workload, "/spec/template/spec/volumes").iter();
    let sources = volumes
        .clone()
        .flat_map(|volume| list(volume, "/projected/sources"));
    let mounted = volumes
        .chain(sources)
        .map(|one| text(one, "/configMap/name").to_owned());
    let containers = rendering.all_containers().into_iter();
    let read = containers
        .filter(|container| std::ptr::eq(container.workload, workload))
        .flat_map(|container| list(container.spec, "/envFrom"))
        .map(|source| text(source, "/configMapRef/name").to_owned());
    let names = mounted.chain(read);
    names
        .filter(|name| !name.is_empty() && name != KUBERNETES_CA)
        .collect()
}

/// A volume of the pods of a workload.
fn volume<'a>(rendering: &'a mut Rendering, object: &str, name: &str) -> Option<&'a mut Value> {
    let volumes = at(rendering, object, "pod/volumes")?.as_array_mut()?;
    volumes
        .iter_mut()
        .find(|volume| text(volume, "/name") == name)
}

fn is_mounted(rendering: &Rendering, container: &Container<'_>, file: &str, facts: &Facts) -> bool {
    let Some((volume, path)) = container.volume_of(file) else {
        return false;
    };
    let secret = text(volume, "/secret/secretName");
    if !secret.is_empty() && volume["secret"]["items"].is_null() {
        return keys_of(rendering, secret, facts).contains(path);
    }
    let sources = list(volume, "/projected/sources").iter();
    if let Some(map) = rendering.get("ConfigMap", text(volume, "/configMap/name")) {
        return map["data"][path].is_string();
    }
    let sources = sources.flat_map(|source| [&source["configMap"], &source["serviceAccountToken"]]);
    [&volume["secret"]]
        .into_iter()
        .chain(sources)
        .any(|source| {
            text(source, "/path") == path
                || list(source, "/items")
                    .iter()
                    .any(|item| text(item, "/path") == path)
        })
}

/// The keys of a Secret that `make-secrets`, a Certificate or the operator of PostgreSQL makes.
fn keys_of(rendering: &Rendering, secret: &str, facts: &Facts) -> BTreeSet<String> {
    let mut keys = facts.secrets.get(secret).cloned().unwrap_or_default();
    let of_cluster = secret.strip_suffix("-ca");
    if of_cluster.is_some_and(|cluster| rendering.get("Cluster", cluster).is_some()) {
        keys.insert("ca.crt".to_owned());
    }
    let mut certificates = rendering.of_kind("Certificate");
    if certificates.any(|one| text(one, "/spec/secretName") == secret) {
        keys.extend(["ca.crt", "tls.crt", "tls.key"].map(str::to_owned));
    }
    keys
}

/// Whether an object is of an operator that reads Secrets.
fn is_custom(object: &Value) -> bool {
    let group = text(object, "/apiVersion").split('/').next();
    ["postgresql.cnpg.io", "rabbitmq.com", "keda.sh"]
        .map(Some)
        .contains(&group)
}

/// The names of Secrets anywhere below a value.
fn secrets_named(value: &Value) -> Vec<String> {
    const PLACES: [&str; 3] = ["secret", "passwordSecret", "importCredentialsSecret"];
    let Value::Object(map) = value else {
        let elements = value.as_array().map_or(&[][..], Vec::as_slice);
        return elements.iter().flat_map(secrets_named).collect();
    };
    let mut names: Vec<_> = map.values().flat_map(secrets_named).collect();
    for (name, value) in map {
        if PLACES.contains(&name.as_str()) {
            names.push(text(value, "/name").to_owned());
        } else if name == "secretTargetRef" {
            let references = value.as_array().map_or(&[][..], Vec::as_slice);
            names.extend(references.iter().map(|one| text(one, "/name").to_owned()));
        }
    }
    names
}

fn is_secret(name: &str, value: &str) -> bool {
    let ends = ["KEY", "KEYS", "SECRET", "PASSWORD", "_TOKEN"];
    let has_password = value
        .split_once("://")
        .is_some_and(|(_, rest)| rest.contains('@'));
    has_password || ends.iter().any(|end| name.ends_with(end))
}

/// Whether a Service of the namespace has the host and port of an address.
fn is_served(rendering: &Rendering, address: &str) -> bool {
    let host_and_port = address.strip_prefix("https://").unwrap_or(address);
    let (host, port) = host_and_port.split_once(':').unwrap_or_default();
    let port = port.parse().unwrap_or(0_u64);
    rendering.get("Service", host).is_some_and(|service| {
        let mut ports = list(service, "/spec/ports").iter();
        ports.any(|one| one["port"] == port)
    })
}

/// Whether the policy of a service has a rule for auth-svc, by the name that it has there.
fn pages_are_allowed(rendering: &Rendering, service: &str) -> bool {
    let start = format!("{service}-policy-");
    let mut maps = rendering.of_kind("ConfigMap");
    let policy = maps.find(|map| text(map, "/metadata/name").starts_with(&start));
    let by_token = rendering.containers().iter().any(|container| {
        text(container.spec, "/name") == service && wants_token(rendering, container)
    });
    let caller = if by_token {
        format!("system:serviceaccount:{}:auth-svc", namespace(rendering))
    } else {
        "auth-svc".to_owned()
    };
    let caller = toml::Value::from(caller);
    // Its name has no hash if another rule is broken.
    policy.is_none_or(|policy| {
        let policy = text(policy, "/data/policy.toml").parse::<toml::Table>();
        let policy = policy.unwrap_or_default();
        let rules = policy.get("rule").and_then(toml::Value::as_array);
        rules.into_iter().flatten().any(|rule| {
            let callers = rule.get("callers").and_then(toml::Value::as_array);
            callers.is_some_and(|callers| callers.contains(&caller))
        })
    })
}
