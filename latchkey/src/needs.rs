//! What each command needs. `--help` of the command and the table in docs/operate.md show it.

use std::fmt::Write as _;

/// The role of the database that a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// No database is used.
    None,
    /// A login role that is a member of `latchkey_operator`.
    Operator,
    /// The same, or a member of the role of auth-svc.
    OperatorOrAuth,
    /// The same, or a member of the role of sync-svc.
    OperatorOrSync,
    /// A login role that is a member of any role of Latchkey.
    Any,
    /// The owner of the database.
    Owner,
}

impl Role {
    const fn text(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Operator => "a member of `latchkey_operator`",
            Self::OperatorOrAuth => "a member of `latchkey_operator` or `latchkey_auth`",
            Self::OperatorOrSync => "a member of `latchkey_operator` or `latchkey_sync`",
            Self::Any => "a member of any role of Latchkey",
            Self::Owner => "the owner of the database, who may create roles",
        }
    }
}

/// What some commands need.
#[derive(Debug)]
pub struct Needs {
    /// The commands, such as `workspace list`.
    pub commands: &'static [&'static str],
    /// The role of `DATABASE_URL`.
    pub role: Role,
    /// Variables that must be set.
    pub variables: &'static [&'static str],
    /// Variables that have an effect if they are set; those of the services.
    pub optional: &'static [&'static str],
    /// Servers that must be reached.
    pub network: &'static str,
}

const DATABASE: &[&str] = &["DATABASE_URL"];
const LINKS: &[&str] = &["PUBLIC_URL"];
const HOSTS: &[&str] = &["PUBLIC_URL", "APP_URL", "ALLOWED_RETURN_ORIGINS"];

/// One row for the commands that need the same.
pub const NEEDS: &[Needs] = &[
    Needs {
        commands: &[
            "workspace create",
            "workspace list",
            "workspace approve-domain",
            "workspace add-domain",
            "workspace domains",
            "workspace invitations",
            "workspace revoke-invitation",
            "workspace custom-domain remove",
            "workspace members",
            "workspace role",
            "audit list",
        ],
        role: Role::OperatorOrAuth,
        variables: DATABASE,
        optional: &[],
        network: "database",
    },
    Needs {
        commands: &["audit prune"],
        role: Role::Operator,
        variables: DATABASE,
        optional: &[],
        network: "database",
    },
    Needs {
        commands: &["channels failed", "channels restart"],
        role: Role::OperatorOrSync,
        variables: DATABASE,
        optional: &[],
        network: "database",
    },
    Needs {
        commands: &["workspace verification-link", "workspace public-invite"],
        role: Role::OperatorOrAuth,
        variables: DATABASE,
        optional: LINKS,
        network: "database",
    },
    Needs {
        commands: &["workspace invite"],
        role: Role::OperatorOrAuth,
        variables: DATABASE,
        optional: &["PUBLIC_URL", "AUTH_ALLOWED_DOMAINS"],
        network: "database",
    },
    Needs {
        commands: &["workspace remove-member"],
        role: Role::OperatorOrAuth,
        variables: DATABASE,
        optional: &["AUTH_ALLOWED_DOMAINS", "IS_MULTIWORKSPACE_ENABLED"],
        network: "database",
    },
    Needs {
        commands: &[
            "workspace custom-domain add",
            "workspace custom-domain approve",
        ],
        role: Role::OperatorOrAuth,
        variables: DATABASE,
        optional: HOSTS,
        network: "database",
    },
    Needs {
        commands: &["workspace custom-domain verify"],
        role: Role::OperatorOrAuth,
        variables: DATABASE,
        optional: &[
            "PUBLIC_URL",
            "APP_URL",
            "ALLOWED_RETURN_ORIGINS",
            "DNS_RESOLVERS",
        ],
        network: "database, name servers",
    },
    Needs {
        commands: &["workspace verify-domain"],
        role: Role::OperatorOrAuth,
        variables: DATABASE,
        optional: &["DNS_RESOLVERS"],
        network: "database, name servers",
    },
    Needs {
        commands: &[
            "parked list",
            "parked count",
            "parked show",
            "parked redrive",
            "parked discard",
            "unrouted list",
            "unrouted count",
            "unrouted show",
            "unrouted redrive",
            "unrouted discard",
        ],
        role: Role::None,
        variables: &["AMQP_URL"],
        optional: &[],
        network: "broker, as the user of sync-svc",
    },
    Needs {
        commands: &["redirect-uris", "client-keys"],
        role: Role::None,
        variables: &["AUTH_…"],
        optional: LINKS,
        network: "none",
    },
    Needs {
        commands: &[
            "policy check",
            "policy explain",
            "keys generate",
            "completion",
        ],
        role: Role::None,
        variables: &[],
        optional: &[],
        network: "none",
    },
    Needs {
        commands: &["doctor"],
        role: Role::Operator,
        variables: &["DATABASE_URL", "AMQP_URL"],
        optional: &[
            "PUBLIC_URL",
            "APP_URL",
            "AUTH_…",
            "GRPC_…",
            "SEALING_…",
            "RABBITMQ_API_URL",
        ],
        network: "database, broker, providers, services",
    },
    Needs {
        commands: &["migrations apply"],
        role: Role::Owner,
        variables: DATABASE,
        optional: &[],
        network: "database",
    },
    Needs {
        commands: &["migrations status", "migrations wait"],
        role: Role::Any,
        variables: DATABASE,
        optional: &[],
        network: "database",
    },
];

/// Returns the table of docs/operate.md.
pub fn table() -> String {
    let mut table = "| command of `latchkey` | role of the database | variables | network |\n\
         | --- | --- | --- | --- |\n"
        .to_owned();
    let quoted = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    for needs in NEEDS {
        let mut variables = vec![quoted(needs.variables)];
        if !needs.optional.is_empty() {
            variables.push(format!("if set {}", quoted(needs.optional)));
        }
        variables.retain(|text| !text.is_empty());
        let variables = if variables.is_empty() {
            "none".to_owned()
        } else {
            variables.join("; ")
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| {} | {} | {variables} | {} |",
            quoted(needs.commands),
            needs.role.text(),
            needs.network,
        );
    }
    table
}

/// Adds to each command's help what it needs.
pub(crate) fn describe(command: clap::Command) -> clap::Command {
    describe_below(command, "")
}

fn describe_below(command: clap::Command, above: &str) -> clap::Command {
    command.mut_subcommands(|sub| {
        let path = format!("{above} {}", sub.get_name()).trim().to_owned();
        let needs = NEEDS
            .iter()
            .find(|needs| needs.commands.contains(&path.as_str()));
        let sub = match needs {
            Some(needs) => sub.after_help(needs.help()),
            None => sub,
        };
        describe_below(sub, &path)
    })
}

impl Needs {
    fn help(&self) -> String {
        let list = |names: &[&str]| {
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        };
        let mut help = format!(
            "Needs:\n  Role of the database: {}\n  Variables: {}",
            self.role.text().replace('`', ""),
            list(self.variables)
        );
        if !self.optional.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(
                help,
                "\n  If set, as for the services: {}",
                list(self.optional)
            );
        }
        let _ = write!(help, "\n  Network: {}", self.network);
        help
    }
}
