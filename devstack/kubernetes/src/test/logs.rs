//! The logs of pods that have ended. The kubelet removes them together with the pod, before anybody
//! can read why a test has failed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A pod lives longer than this.
const INTERVAL: Duration = Duration::from_secs(2);

/// Gives each log of a container a second name in `kept-pods`, until the task is aborted.
pub(super) async fn keep(logs: PathBuf) {
    loop {
        // A directory that is removed meanwhile is read again the next time.
        let _ = link_all(&logs.join("pods"), &logs.join("kept-pods"));
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Links `pods/POD/CONTAINER/N.log` as `kept/POD/CONTAINER/N.log`.
fn link_all(pods: &Path, kept: &Path) -> io::Result<()> {
    for pod in fs::read_dir(pods)? {
        let pod = pod?;
        for container in fs::read_dir(pod.path())? {
            let container = container?;
            let directory = kept.join(pod.file_name()).join(container.file_name());
            fs::create_dir_all(&directory)?;
            for log in fs::read_dir(container.path())? {
                let log = log?;
                match fs::hard_link(log.path(), directory.join(log.file_name())) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error);
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_pod_outlives_the_pod() {
        let logs = tempfile::tempdir().unwrap();
        let (pods, kept) = (logs.path().join("pods"), logs.path().join("kept-pods"));
        let container = pods.join("auth-svc-1").join("auth-svc");
        fs::create_dir_all(&container).unwrap();
        fs::write(container.join("0.log"), "started\n").unwrap();
        for _ in 0..2 {
            link_all(&pods, &kept).unwrap();
        }
        fs::remove_dir_all(&pods).unwrap();
        let text = fs::read_to_string(kept.join("auth-svc-1/auth-svc/0.log")).unwrap();
        assert_eq!(text, "started\n");
    }
}
