use crate::tracked;

/// Where the code of the services is.
const FOLDERS: [&str; 4] = [
    "auth-svc/src/",
    "sync-svc/src/",
    "refresh-svc/src/",
    "crates/",
];

/// Returns the paths of the sources of the services, without their tests, whose text is `wanted`, in
/// the order of their names.
///
/// # Errors
/// The files of the repository cannot be read.
pub fn service_sources(wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<String>> {
    let mut found: Vec<String> = tracked(&["rs"])?
        .into_iter()
        .filter(|file| FOLDERS.iter().any(|folder| file.path.starts_with(folder)))
        .filter(|file| !file.path.contains("/tests") && wanted(&file.text))
        .map(|file| file.path)
        .collect();
    found.sort_unstable();
    Ok(found)
}
