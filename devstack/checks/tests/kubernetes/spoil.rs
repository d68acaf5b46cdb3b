//! Small faults for a rendering. An object is `<kind>/<name>`; a generated end of a name is left
//! out. `pod/` is the pod of a workload and `container/` its first container. Everything returns
//! `None` if the place is not there.

use latchkey_checks::manifests::{Rendering, text};
use serde_json::Value;

/// The value at a place of an object.
pub(crate) fn at<'a>(r: &'a mut Rendering, object: &str, place: &str) -> Option<&'a mut Value> {
    let index = find(r, object)?;
    r.objects.get_mut(index)?.pointer_mut(&pointer(place))
}

/// Replaces the value at a place, or adds it to the object there.
pub(crate) fn set(
    r: &mut Rendering,
    object: &str,
    place: &str,
    value: impl Into<Value>,
) -> Option<()> {
    let (parent, key) = place.rsplit_once('/')?;
    match at(r, object, parent)? {
        Value::Object(map) => {
            map.insert(unescape(key), value.into());
        }
        Value::Array(list) => *list.get_mut(key.parse::<usize>().ok()?)? = value.into(),
        _ => return None,
    }
    Some(())
}

/// Adds a value to the list at a place.
pub(crate) fn push(r: &mut Rendering, object: &str, place: &str, value: Value) -> Option<()> {
    at(r, object, place)?.as_array_mut()?.push(value);
    Some(())
}

/// Removes the value at a place.
pub(crate) fn remove(r: &mut Rendering, object: &str, place: &str) -> Option<()> {
    let (parent, key) = place.rsplit_once('/')?;
    match at(r, object, parent)? {
        Value::Object(map) => {
            map.remove(&unescape(key))?;
        }
        Value::Array(list) => {
            let index = key
                .parse::<usize>()
                .ok()
                .filter(|index| *index < list.len())?;
            list.remove(index);
        }
        _ => return None,
    }
    Some(())
}

/// Removes an object.
pub(crate) fn delete(r: &mut Rendering, object: &str) -> Option<()> {
    let index = find(r, object)?;
    r.objects.remove(index);
    Some(())
}

/// Adds a copy of an object with the name `copy`.
pub(crate) fn copy(r: &mut Rendering, object: &str) -> Option<()> {
    let mut copy = r.objects.get(find(r, object)?)?.clone();
    *copy.pointer_mut("/metadata/name")? = "copy".into();
    r.objects.push(copy);
    Some(())
}

/// Changes a variable in the `env` of a container.
pub(crate) fn set_variable(r: &mut Rendering, object: &str, name: &str, value: &str) -> Option<()> {
    let variables = at(r, object, "container/env")?.as_array_mut()?;
    let mut variables = variables.iter_mut();
    let variable = variables.find(|variable| text(variable, "/name") == name)?;
    *variable.get_mut("value")? = value.into();
    Some(())
}

fn find(r: &Rendering, object: &str) -> Option<usize> {
    let (kind, name) = object.split_once('/')?;
    let position = |is_it: &dyn Fn(&str) -> bool| {
        r.objects
            .iter()
            .position(|one| text(one, "/kind") == kind && is_it(text(one, "/metadata/name")))
    };
    let generated = |one: &str| {
        one.strip_prefix(name)
            .is_some_and(|end| end.starts_with('-'))
    };
    position(&|one| one == name).or_else(|| position(&generated))
}

fn pointer(place: &str) -> String {
    let pod = "/spec/template/spec";
    match place.split_once('/') {
        None if place == "pod" => pod.to_owned(),
        None if place == "container" => format!("{pod}/containers/0"),
        Some(("pod", rest)) => format!("{pod}/{rest}"),
        Some(("container", rest)) => format!("{pod}/containers/0/{rest}"),
        _ => place.to_owned(),
    }
}

/// A name as it is in an object; `~1` is a slash in a path.
fn unescape(key: &str) -> String {
    key.replace("~1", "/")
}
