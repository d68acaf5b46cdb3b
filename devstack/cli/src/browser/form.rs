//! The forms of a page, parsed as a browser without scripts does.

use url::Url;

/// The person who fills in a provider's forms.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// What the person types into text fields.
    pub login: &'a str,
    /// What the person types into password fields.
    pub password: &'a str,
}

/// A form of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Its `action` attribute; empty if it has none.
    pub action: String,
    /// Fields of the form, without buttons and check boxes.
    pub fields: Vec<Field>,
    html: String,
}

/// A field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name of the field.
    pub name: String,
    /// Value in the page.
    pub value: String,
    /// Kind of the field.
    pub kind: FieldKind,
}

/// Kind of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A field that is sent unchanged.
    Hidden,
    /// A text field.
    Text,
    /// A password field.
    Password,
}

impl Form {
    /// Returns the forms of a page in their order.
    pub(super) fn all(html: &str) -> Vec<Self> {
        html.split("<form")
            .skip(1)
            .filter_map(|rest| rest.split("</form>").next())
            .map(Self::read)
            .collect()
    }

    fn read(html: &str) -> Self {
        let head = html.split('>').next().unwrap_or_default();
        let fields = html
            .split("<input")
            .skip(1)
            .filter_map(|rest| Field::read(rest.split('>').next()?))
            .collect();
        Self {
            action: attribute(head, "action").unwrap_or_default(),
            fields,
            html: html.to_owned(),
        }
    }

    /// Returns the URL to which the form is submitted from the page `at`.
    pub fn target(&self, at: &Url) -> Option<Url> {
        if self.action.is_empty() {
            return Some(at.clone());
        }
        at.join(&self.action).ok()
    }

    /// Returns `true` if the form contains the person's login, as a list of accounts does.
    pub fn names(&self, person: Person<'_>) -> bool {
        self.html.contains(person.login)
    }

    /// Returns what is submitted after the person has filled in the form.
    pub fn filled<'a>(&'a self, person: Person<'a>) -> Vec<(&'a str, &'a str)> {
        let fields = self.fields.iter();
        fields
            .map(|field| match field.kind {
                FieldKind::Password => (field.name.as_str(), person.password),
                FieldKind::Text if field.value.is_empty() => (field.name.as_str(), person.login),
                FieldKind::Text | FieldKind::Hidden => (field.name.as_str(), field.value.as_str()),
            })
            .collect()
    }

    /// Returns the hidden fields.
    pub fn hidden(&self) -> Vec<(String, String)> {
        let hidden = |field: &&Field| field.kind == FieldKind::Hidden;
        let fields = self.fields.iter().filter(hidden);
        fields
            .map(|field| (field.name.clone(), field.value.clone()))
            .collect()
    }
}

impl Field {
    /// Parses the text between `<input` and `>`. Buttons and check boxes are ignored.
    fn read(tag: &str) -> Option<Self> {
        let kind = match attribute(tag, "type").as_deref() {
            Some("hidden") => FieldKind::Hidden,
            Some("text" | "email") | None => FieldKind::Text,
            Some("password") => FieldKind::Password,
            Some(_) => return None,
        };
        Some(Self {
            name: attribute(tag, "name")?,
            value: attribute(tag, "value").unwrap_or_default(),
            kind,
        })
    }
}

/// Returns the value of an attribute of a tag with its entities decoded.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = format!("{name}=\"");
    let after_space = |at: usize| {
        tag.get(..at)
            .is_some_and(|b| b.ends_with(char::is_whitespace))
    };
    let (at, _) = tag.match_indices(&start).find(|(at, _)| after_space(*at))?;
    let value = tag.get(at + start.len()..)?.split('"').next()?;
    Some(without_entities(value))
}

fn without_entities(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let entity = after.split_once(';');
        let known = entity.and_then(|(name, after)| Some((character(name)?, after)));
        let (character, after) = known.unwrap_or(('&', after));
        plain.push(character);
        rest = after;
    }
    plain.push_str(rest);
    plain
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "quot" => Some('"'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        other => {
            let number = other.strip_prefix('#')?;
            let number = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(number)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Person<'static> = Person {
        login: "ada",
        password: "any",
    };

    #[test]
    fn a_person_fills_in_empty_fields() {
        let page = r#"<form id="kc" action="http://a/b?x=1&amp;y=2" method="post">
            <input tabindex="1" name="username" value="" type="text" />
            <input name="password" type="password">
            <input type="hidden" name="next" value="&#34;1&#x2F;2&quot;"/>
            <input type="checkbox" name="rememberMe"> <input type="submit" name="login" value="In">
            </form>"#;
        let forms = Form::all(page);
        let form = forms.first().unwrap();
        assert_eq!(form.action, "http://a/b?x=1&y=2");
        assert_eq!(
            form.filled(ADA),
            [
                ("username", "ada"),
                ("password", "any"),
                ("next", "\"1/2\"")
            ]
        );
        assert_eq!(form.hidden(), [("next".to_owned(), "\"1/2\"".to_owned())]);
    }

    #[test]
    fn a_form_without_an_action_is_submitted_to_its_page() {
        let at = Url::parse("http://a/b?c=d").unwrap();
        let forms =
            Form::all(r#"<form method="post"><input type="text" name="sub" required></form>"#);
        let form = forms.first().unwrap();
        assert_eq!(form.target(&at), Some(at));
        assert_eq!(form.filled(ADA), [("sub", "ada")]);
    }
}
