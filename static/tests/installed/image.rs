//! The image of the server: what is in it, and that it runs as containers run it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use seatmeter_e2e::program::run;
use seatmeter_e2e::root;

use crate::{built, fresh_folder, has, skip};

/// The user of the image.
const USER: &str = "65532";

fn shell(script: &str, folder: &Path) -> String {
    let made = run(Command::new("sh").args(["-e", "-c", script]).current_dir(folder));
    assert_eq!(made.code, Some(0), "{script}: {}{}", made.stdout, made.stderr);
    made.stdout
}

fn make_image(path: &Path) {
    let mut script = Command::new(root().join("scripts/image.py"));
    let made = run(script.arg(built().join("seatmeterd")).arg(path).arg("seatmeterd:test"));
    assert_eq!(made.code, Some(0), "{}{}", made.stdout, made.stderr);
}

/// Return a folder with an image, in `image.tar`, whose only layer is unpacked into `root`.
fn unpacked() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(unpack)
}

fn unpack() -> PathBuf {
    let folder = fresh_folder("image");
    make_image(&folder.join("image.tar"));
    shell(
        "mkdir image root && tar -xf image.tar -C image && cd image/blobs/sha256\n\
         for blob in *; do echo \"$blob  $blob\" | sha256sum --quiet --check; done\n\
         for blob in *; do case $(head -c 2 $blob) in '{\"') ;; *) mv $blob ../layer ;; esac; done\n\
         tar -xzf ../layer -C ../../../root",
        &folder,
    );
    folder
}

/// A server in the image, which ends with this.
struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        // Both calls fail only when the server has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_image_has_the_server_and_no_shell_and_is_the_same_each_time() {
    if !has("python3", "python3") {
        return;
    }
    let folder = unpacked();
    make_image(&folder.join("again.tar"));
    shell("cmp image.tar again.tar && rm again.tar", folder);
    let programs = shell("cd root && find . -path '*bin/*' -not -type d", folder);
    assert_eq!(programs, "./usr/bin/seatmeterd\n");
    let config = shell("grep -l Entrypoint image/blobs/sha256/* | xargs cat", folder);
    assert!(config.contains(&format!("\"User\": \"{USER}:{USER}\"")), "{config}");
}

#[test]
fn the_image_serves_as_its_user_with_a_root_that_cannot_be_written() {
    if !has("python3", "python3") || !has("unshare", "util-linux") {
        return;
    }
    if run(Command::new("unshare").args(["--mount", "true"])).code != Some(0) {
        return skip("mounts cannot be made here");
    }
    let folder = unpacked();
    let script = format!(
        "mount --bind root root && mount -o remount,ro,bind root && mount -t tmpfs -o mode=0700,uid={USER},gid={USER} tmpfs root/data && \
         exec chroot --userspec={USER}:{USER} root /usr/bin/seatmeterd serve --listen 127.0.0.1:0"
    );
    let mut server = Command::new("unshare")
        .args(["--mount", "sh", "-e", "-c", &script])
        .current_dir(folder)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"), ("SEATMETERD_DATA", "/data")])
        .stdout(Stdio::piped())
        .spawn()
        .map(Container)
        .unwrap();
    let output = BufReader::new(server.0.stdout.take().unwrap());
    // The server first says which key it has made.
    let lines = output.lines().map(Result::unwrap);
    let url = lines.filter_map(|line| Some(line.split_once("listening on http://")?.1.to_owned()));
    let address = { url }.next().expect("the server says where it listens");
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let status = fs::read_to_string(format!("/proc/{}/status", server.0.id())).unwrap();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    assert!(user.split_whitespace().all(|id| id == USER), "{user}");
}
