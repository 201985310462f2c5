//! A disk small enough to fill: a tmpfs in a mount namespace of its own, so that nothing has to
//! be unmounted after a crash and neither root nor a set-up machine is needed. A holder process
//! keeps the namespace; servers are started inside it, the test looks in through /proc.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::temp_dir::TempDir;

pub(crate) struct SmallDisk {
    holder: Child,
    mount_point: TempDir,
}

impl SmallDisk {
    /// `options` are tmpfs mount options, such as `size=16m` or `ro`.
    pub(crate) fn new(options: &str) -> Self {
        let mount_point = TempDir::named("small-disk");
        // `exec cat` holds the namespace until its stdin closes: it can't outlive the test.
        let script = "mount -t tmpfs -o \"$1\" tmpfs \"$2\" && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(["-rm", "sh", "-c", script, "sh", options])
            .arg(mount_point.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) is needed for the tests of a full disk");
        let stdout = BufReader::new(holder.stdout.take().expect("piped"));
        let line = stdout.lines().next().and_then(Result::ok);
        assert_eq!(line.as_deref(), Some("mounted"), "user namespaces are needed for a small disk");
        Self { holder, mount_point }
    }

    /// The directory as a process inside sees it.
    pub(crate) fn path(&self) -> &Path {
        self.mount_point.path()
    }

    /// The same directory as this test sees it.
    pub(crate) fn seen_from_outside(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        let inside = self.path().strip_prefix("/").expect("an absolute path");
        root.join(inside)
    }

    /// For `Options::through`.
    pub(crate) fn through(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        let words = ["nsenter", "-t", &pid, "-U", "-m", "--preserve-credentials"];
        words.map(str::to_owned).to_vec()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
