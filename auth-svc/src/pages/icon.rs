//! Small drawings, part of the page: they take the colour of the text.

use std::fmt;

/// A drawing that says nothing that the text beside it does not say.
#[derive(Debug, Clone, Copy)]
pub struct Icon(&'static str);

/// Drawn here and nowhere else: markup of our own.
impl askama::filters::HtmlSafe for Icon {}

impl fmt::Display for Icon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\" focusable=\"false\">{}</svg>",
            self.0
        )
    }
}

/// A key in a circle.
pub const BRAND: Icon = Icon(
    r#"<path d="M12 1.5a6.5 6.5 0 0 0-2.6 12.46V21l2.6 2 2.6-2-1.5-1.6 1.5-1.7-1.2-1.4 1.2-1.3v-1.04A6.5 6.5 0 0 0 12 1.5Zm0 3.1a2.1 2.1 0 1 1 0 4.2 2.1 2.1 0 0 1 0-4.2Z" fill="currentColor"/>"#,
);

/// Any other provider.
pub const PROVIDER: Icon = Icon(
    r#"<g class="line"><circle cx="12" cy="12" r="9"/><path d="M3 12h18M12 3c2.6 2.6 3.9 5.6 3.9 9s-1.3 6.4-3.9 9c-2.6-2.6-3.9-5.6-3.9-9s1.3-6.4 3.9-9Z"/></g>"#,
);

/// Mail.
pub const MAIL: Icon = Icon(
    r#"<g class="line"><rect x="3" y="5" width="18" height="14" rx="2.5"/><path d="m4 7.5 8 5.5 8-5.5"/></g>"#,
);

/// Calendar.
pub const CALENDAR: Icon = Icon(
    r#"<g class="line"><rect x="3.5" y="5" width="17" height="15.5" rx="2.5"/><path d="M3.5 10h17M8 2.800V6.500M16 2.800V6.5"/></g>"#,
);

/// A person.
pub const PERSON: Icon = Icon(
    r#"<g class="line"><circle cx="12" cy="8" r="4"/><path d="M4.5 20.500c.8-3.9 3.7-6 7.5-6s6.7 2.1 7.5 6"/></g>"#,
);

/// A screen.
pub const DEVICE: Icon = Icon(
    r#"<g class="line"><rect x="3" y="4.5" width="18" height="12" rx="2"/><path d="M8.5 20.500h7M12 16.500v4"/></g>"#,
);

/// A shield.
pub const SHIELD: Icon = Icon(
    r#"<g class="line"><path d="M12 3 4.5 5.800v5.700c0 4.5 3 7.7 7.5 9.5 4.5-1.8 7.5-5 7.5-9.500V5.800L12 3Z"/><path d="m9 11.8 2.2 2.2 3.9-4.2"/></g>"#,
);

/// Attention.
pub const ALERT: Icon = Icon(
    r#"<g class="line"><circle cx="12" cy="12" r="9"/><path d="M12 7.500v5.500M12 16.400v.1"/></g>"#,
);

/// Good.
pub const CHECK: Icon = Icon(
    r#"<g class="line"><circle cx="12" cy="12" r="9"/><path d="m8 12.3 2.7 2.700L16 9.5"/></g>"#,
);

/// The sign of a provider.
pub fn of_provider(name: &str) -> Icon {
    latchkey_providers::logo(name).map_or(PROVIDER, Icon)
}
