//! Which targets cargo builds for a command, and which program carries it out.

use std::ffi::{OsStr, OsString};

/// How one command is carried out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Arguments of the one run of cargo that builds everything.
    pub build: Vec<&'static str>,
    /// Directory of that build below cargo's target directory.
    pub directory: &'static str,
    /// The program that is started after the build.
    pub program: &'static str,
    /// The arguments of that program.
    pub arguments: Vec<OsString>,
}

/// `cargo dev` itself, with all of its commands but the two below.
const DEVSTACK: &str = "devstack";
/// `cargo dev bench`.
const BENCH: &str = "latchkey-bench";
/// `cargo dev proto`: it must run while the generated code does not compile, so it is a
/// program that does not use that code.
const PROTO: &str = "latchkey-proto-generator";

/// `cargo dev kubernetes`.
const KUBERNETES: &str = "latchkey-kubernetes";

/// `cargo dev faults`.
const FAULTS: &str = "latchkey-faults";

/// The three services as binaries.
const SERVICES: [&str; 3] = ["auth-svc", "sync-svc", "refresh-svc"];
/// The programs of the images for Kubernetes.
const IMAGES: [&str; 6] = [
    "auth-svc",
    "sync-svc",
    "refresh-svc",
    "latchkey",
    "latchkey-migrate",
    "latchkey-demo-provider",
];
/// What `cargo dev kubernetes --only-static` stands for.
const STATIC_RULES: [&str; 6] = [
    "test",
    "--",
    "-p",
    "latchkey-checks",
    "--test",
    "kubernetes",
];

impl Plan {
    /// The plan for the arguments of `cargo dev`.
    pub(crate) fn new(mut arguments: Vec<OsString>) -> Self {
        if arguments == ["kubernetes", "--only-static"] {
            arguments = STATIC_RULES.map(OsString::from).to_vec();
        }
        let own = arguments.iter().take_while(|one| *one != "--");
        // Nobody waits for a release build to read how a command is used.
        let is_help = own.clone().any(|one| one == "--help" || one == "-h");
        let is_release = own.clone().any(|one| one == "--release");
        let position = own.clone().position(|one| !is_option(one));
        let passes_arguments = own.count() < arguments.len();
        let command = position.and_then(|position| arguments.get(position)?.to_str());
        let (program, bins): (_, &[&str]) = match command {
            Some("bench") => (BENCH, &SERVICES),
            Some("kubernetes") => (KUBERNETES, &IMAGES),
            Some("faults") => (FAULTS, &SERVICES),
            Some("proto") => (PROTO, &[]),
            Some("up" | "dashboard" | "providers") => (DEVSTACK, &SERVICES),
            _ => (DEVSTACK, &[]),
        };
        let is_test = command == Some("test");
        let bins = if is_help { &[] } else { bins };
        let is_release = !is_help && (is_release || program == BENCH || program == KUBERNETES);
        if program != DEVSTACK
            && let Some(position) = position
        {
            // These programs do not know their command's name.
            arguments.remove(position);
        }

        // All packages are selected for every command, so that cargo resolves features for
        // all of them at once: with a selection of packages, crates that more than one
        // command needs are built once for each set of features.
        let mut build = vec!["build", "--workspace"];
        if is_release {
            build.push("--release");
        }
        if is_test {
            build.push("--bins");
            if !passes_arguments {
                build.extend(["--tests", "--examples"]);
            }
        } else {
            build.extend(["--bin", program]);
            build.extend(bins.iter().flat_map(|bin| ["--bin", *bin]));
        }
        if !is_release && !build.contains(&"--tests") {
            // With a test among the targets cargo also includes the features of development
            // dependencies, as it does for all tests. Released programs are built without.
            build.extend(["--test", "launcher"]);
        }
        Self {
            build,
            directory: if is_release { "release" } else { "debug" },
            program,
            arguments,
        }
    }
}

fn is_option(argument: &OsStr) -> bool {
    argument.as_encoded_bytes().starts_with(b"-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Plan {
        Plan::new(arguments.iter().map(OsString::from).collect())
    }

    #[test]
    fn a_command_builds_what_it_needs_and_gets_all_arguments() {
        let up = plan(&["up", "--once"]);
        assert_eq!(
            up.build.join(" "),
            "build --workspace --bin devstack --bin auth-svc --bin sync-svc --bin refresh-svc \
             --test launcher"
        );
        assert_eq!((up.program, up.directory), (DEVSTACK, "debug"));
        assert_eq!(up.arguments, ["up", "--once"]);
        for arguments in [&["status", "--json"][..], &["--help"], &[]] {
            let plan = plan(arguments);
            assert_eq!(
                plan.build.join(" "),
                "build --workspace --bin devstack --test launcher"
            );
            assert_eq!(plan.arguments, arguments);
        }
    }

    #[test]
    fn release_builds_and_runs_the_release_profile() {
        for arguments in [&["up", "--release"][..], &["--release", "up"]] {
            let plan = plan(arguments);
            assert_eq!(
                plan.build.join(" "),
                "build --workspace --release --bin devstack --bin auth-svc --bin sync-svc \
                 --bin refresh-svc"
            );
            assert_eq!(plan.directory, "release");
            assert_eq!(plan.arguments, arguments);
        }
    }

    #[test]
    fn tests_are_built_with_the_binaries_unless_cargo_gets_arguments() {
        let all = plan(&["test", "--random"]);
        assert_eq!(
            all.build.join(" "),
            "build --workspace --bins --tests --examples"
        );
        let some = plan(&["test", "--", "-p", "auth-svc", "--release"]);
        assert_eq!(
            some.build.join(" "),
            "build --workspace --bins --test launcher"
        );
        assert_eq!(some.program, DEVSTACK);
        assert_eq!(some.arguments.len(), 5);
    }

    #[test]
    fn the_static_rules_of_kubernetes_are_tests() {
        let plan = plan(&["kubernetes", "--only-static"]);
        assert_eq!(plan.program, DEVSTACK);
        assert_eq!(plan.arguments, STATIC_RULES);
    }

    #[test]
    fn help_builds_no_service_and_no_release() {
        for arguments in [
            &["kubernetes", "--help"][..],
            &["faults", "-h"],
            &["up", "--help"],
        ] {
            let build = plan(arguments).build;
            assert!(!build.contains(&"--release"), "{build:?}");
            assert!(!build.contains(&"auth-svc"), "{build:?}");
        }
    }

    #[test]
    fn the_other_programs_do_not_get_their_commands_name() {
        let bench = plan(&["bench", "tokens", "--quick"]);
        assert_eq!(
            bench.build.join(" "),
            "build --workspace --release --bin latchkey-bench --bin auth-svc --bin sync-svc \
             --bin refresh-svc"
        );
        assert_eq!((bench.program, bench.directory), (BENCH, "release"));
        assert_eq!(bench.arguments, ["tokens", "--quick"]);
        let logout = plan(&["bench", "logout"]);
        assert_eq!(
            logout.build.join(" "),
            "build --workspace --release --bin latchkey-bench --bin auth-svc --bin sync-svc \
             --bin refresh-svc"
        );
        let kubernetes = plan(&["kubernetes", "--once"]);
        assert_eq!(
            kubernetes.build.join(" "),
            "build --workspace --release --bin latchkey-kubernetes --bin auth-svc --bin sync-svc \
             --bin refresh-svc --bin latchkey --bin latchkey-migrate --bin latchkey-demo-provider"
        );
        assert_eq!(kubernetes.directory, "release");
        assert_eq!(kubernetes.arguments, ["--once"]);
        let faults = plan(&["faults", "--seed", "7"]);
        assert_eq!(
            faults.build.join(" "),
            "build --workspace --bin latchkey-faults --bin auth-svc --bin sync-svc \
             --bin refresh-svc --test launcher"
        );
        assert_eq!((faults.program, faults.directory), (FAULTS, "debug"));
        assert_eq!(faults.arguments, ["--seed", "7"]);
        let proto = plan(&["proto"]);
        assert_eq!((proto.program, proto.arguments.len()), (PROTO, 0));
    }
}
