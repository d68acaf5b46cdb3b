//! Which build each service runs, and whether it is ready.

use futures::future::{join, join_all};
use latchkey_service::BuildInfo;
use serde::Deserialize;
use url::Url;

use crate::finding::Finding;
use crate::outcome::{Looked, NotLooked, Outcome};
use crate::runbook::Runbook;
use crate::service::{OperatorPort, Service};
use crate::wording::listed;
use crate::world::{Mode, World};

/// The response of `/version`.
#[derive(Debug, Clone, Deserialize)]
struct Version {
    version: String,
    git_commit: String,
}

/// The response of `/readyz`.
#[derive(Debug, Clone, Deserialize)]
struct Ready {
    checks: Vec<ReadyCheck>,
}

#[derive(Debug, Clone, Deserialize)]
struct ReadyCheck {
    name: String,
    ready: bool,
    required: bool,
}

struct Seen {
    service: Service,
    url: Url,
    /// The error is that of the connection.
    version: Result<Version, String>,
    ready: Option<Ready>,
}

pub(crate) async fn check(world: &World) -> Outcome {
    if world.mode == Mode::BeforeDeploy {
        return Err(NotLooked::NotNow(
            "another version runs before a deployment",
        ));
    }
    if world.operator_ports.is_empty() {
        return Err(NotLooked::NotSet("--operator-port"));
    }
    let seen = join_all(world.operator_ports.iter().map(|port| look(world, port))).await;
    let expected = world.deployed.clone().or_else(|| {
        // This program comes with the version that was deployed.
        let own = BuildInfo::of("latchkey").git_commit;
        (world.mode == Mode::AfterDeploy && own != "unknown").then(|| own.to_owned())
    });
    let line = |seen: &Seen| match &seen.version {
        Ok(version) => format!("{}: {}", seen.service, named(version)),
        Err(problem) => format!("{}: {problem}", seen.service),
    };
    Ok(Looked {
        seen: seen.iter().map(line).collect(),
        findings: judge(&seen, expected.as_deref()),
        detail: None,
    })
}

async fn look(world: &World, port: &OperatorPort) -> Seen {
    let page = |path: &str| port.url.join(path).map_err(|error| error.to_string());
    let version = async {
        let response = world.http.get(page("/version")?).send().await;
        let response = response.map_err(|error| error.without_url().to_string())?;
        let version = response.json::<Version>().await;
        version.map_err(|_| {
            "the response is not that of /version: is this the operator's port?".to_owned()
        })
    };
    let ready = async {
        let response = world.http.get(page("/readyz").ok()?).send().await.ok()?;
        response.json::<Ready>().await.ok()
    };
    let (version, ready) = join(version, ready).await;
    Seen {
        service: port.service,
        url: port.url.clone(),
        version,
        ready,
    }
}

fn named(version: &Version) -> String {
    let commit: String = version.git_commit.chars().take(12).collect();
    format!("{} ({commit})", version.version)
}

/// A commit may be given by its beginning.
fn is_commit(commit: &str, expected: &str) -> bool {
    commit.starts_with(expected) || expected.starts_with(commit)
}

fn judge(seen: &[Seen], expected: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut builds: Vec<(Service, &Version)> = Vec::new();
    for one in seen {
        match &one.version {
            Err(problem) => findings.push(service_down(one.service.name(), &one.url, problem)),
            Ok(version) => {
                builds.push((one.service, version));
                findings.extend(not_ready(one));
                if let Some(expected) = expected
                    && !is_commit(&version.git_commit, expected)
                {
                    findings.push(other_build(one.service, version, expected));
                }
            }
        }
    }
    let commits = builds.iter().map(|(_, version)| &version.git_commit);
    let differ = commits
        .clone()
        .any(|commit| Some(commit) != commits.clone().next());
    if expected.is_none() && differ {
        let builds = builds.iter();
        let builds = builds.map(|(service, version)| format!("{service} {}", named(version)));
        findings.push(builds_differ(&builds.collect::<Vec<_>>()));
    }
    findings
}

fn not_ready(seen: &Seen) -> Option<Finding> {
    let checks = seen.ready.as_ref()?.checks.iter();
    let failed: Vec<String> = checks
        .filter(|check| check.required && !check.ready)
        .map(|check| check.name.clone())
        .collect();
    let Seen { service, url, .. } = seen;
    (!failed.is_empty()).then(|| Finding {
        code: "not_ready",
        runbook: Runbook::NotReady,
        problem: format!("{service} is not ready: {}", listed(&failed)),
        looked_at: format!("{url}readyz"),
        remedy: format!(
            "the log of {service} has the reason (\"not ready\", with check and problem)"
        ),
    })
}

/// A service that cannot be reached or does not answer as it should.
pub(super) fn service_down(what: &str, url: &Url, problem: &str) -> Finding {
    Finding {
        code: "service_down",
        runbook: Runbook::NotReady,
        problem: format!("{what} does not answer at {url}: {problem}"),
        looked_at: url.to_string(),
        remedy: format!(
            "start {what} and read the last line of its log; if it runs, correct the address"
        ),
    }
}

fn other_build(service: Service, runs: &Version, expected: &str) -> Finding {
    Finding {
        code: "other_build",
        runbook: Runbook::Version,
        problem: format!(
            "{service} runs {}, and not {expected}, which was deployed",
            named(runs)
        ),
        looked_at: format!("/version of {service}"),
        remedy: "finish the roll-out, or look at why the new replicas do not start".to_owned(),
    }
}

fn builds_differ(builds: &[String]) -> Finding {
    Finding {
        code: "builds_differ",
        runbook: Runbook::Version,
        problem: format!("the services are of different builds: {}", listed(builds)),
        looked_at: "/version of the services".to_owned(),
        remedy: "finish the roll-out of the others; name the expected commit by --deployed"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::codes;

    fn seen(service: Service, commit: &str, ready: bool) -> Seen {
        let version = Version {
            version: "1.0.0".to_owned(),
            git_commit: commit.to_owned(),
        };
        let check = |name: &str, required| ReadyCheck {
            name: name.to_owned(),
            ready,
            required,
        };
        Seen {
            service,
            url: "http://127.0.0.1:1".parse().unwrap(),
            version: Ok(version),
            ready: Some(Ready {
                checks: vec![check("database", true), check("broker", false)],
            }),
        }
    }

    #[test]
    fn services_of_different_builds_are_a_finding_and_the_expected_build_is_compared() {
        let same = [
            seen(Service::Auth, "abc1", true),
            seen(Service::Sync, "abc1", true),
        ];
        assert_eq!(judge(&same, None), []);
        assert_eq!(judge(&same, Some("abc")), []);
        assert_eq!(
            codes(&judge(&same, Some("def"))),
            ["other_build", "other_build"]
        );
        let different = [
            seen(Service::Auth, "abc1", true),
            seen(Service::Sync, "def1", true),
        ];
        assert_eq!(codes(&judge(&different, None)), ["builds_differ"]);
    }

    #[test]
    fn only_a_required_check_makes_a_service_not_ready() {
        let findings = judge(&[seen(Service::Auth, "abc1", false)], None);
        assert_eq!(codes(&findings), ["not_ready"]);
        assert_eq!(findings[0].problem, "auth-svc is not ready: database");
    }
}
