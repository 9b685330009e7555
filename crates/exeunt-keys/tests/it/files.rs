//! Files that hold secrets.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use exeunt_keys::secret_file::{self, SECRET_BYTES_MAX};
use tempfile::TempDir;

fn made(dir: &TempDir, name: &str, mode: u32) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, "secret").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn code_of(path: &Path) -> &'static str {
    secret_file::read(path).unwrap_err().code()
}

#[test]
fn a_secret_is_written_for_its_owner_only_and_comes_back() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ca.key");
    secret_file::write_new(&path, b"secret").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(secret_file::read(&path).unwrap().as_slice(), b"secret");
}

#[test]
fn a_secret_is_never_overwritten() {
    let dir = TempDir::new().unwrap();
    let path = made(&dir, "ca.key", 0o600);
    let err = secret_file::write_new(&path, b"another").unwrap_err();
    assert_eq!(err.code(), "key-file-exists");
    assert_eq!(fs::read(&path).unwrap(), b"secret");
    // A link that leads nowhere is somebody's trap.
    let link = dir.path().join("link");
    symlink(dir.path().join("elsewhere"), &link).unwrap();
    assert_eq!(secret_file::write_new(&link, b"x").unwrap_err().code(), "key-file-exists");
}

#[test]
fn a_file_that_others_can_read_or_write_is_refused_with_the_command_that_helps() {
    let dir = TempDir::new().unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o777] {
        let path = made(&dir, "ca.key", mode);
        let err = secret_file::read(&path).unwrap_err();
        assert_eq!(err.code(), "key-file-readable-by-others", "{mode:o}");
        assert_eq!(err.hint().unwrap(), format!("chmod 600 {}", path.display()));
    }
    for mode in [0o600, 0o400, 0o700] {
        assert!(secret_file::read(&made(&dir, "ca.key", mode)).is_ok(), "{mode:o}");
    }
}

#[test]
fn what_is_not_there_or_no_file_is_told_apart() {
    let dir = TempDir::new().unwrap();
    assert_eq!(code_of(&dir.path().join("nothing")), "key-file-missing");
    assert_eq!(code_of(dir.path()), "key-file-not-regular");
    assert_eq!(code_of(Path::new("/dev/null")), "key-file-not-regular");

    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status();
    assert!(made.unwrap().success());
    assert_eq!(code_of(&pipe), "key-file-not-regular");

    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(code_of(&socket), "key-file-not-regular");

    let err = secret_file::write_new(&dir.path().join("no/folder"), b"x").unwrap_err();
    assert_eq!(err.code(), "key-file-io");
}

#[test]
fn a_secret_has_a_largest_size() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("large");
    let err = secret_file::write_new(&path, &vec![0; SECRET_BYTES_MAX + 1]).unwrap_err();
    assert_eq!(err.code(), "key-file-too-large");
    assert!(!path.exists());

    secret_file::write_new(&path, &vec![7; SECRET_BYTES_MAX]).unwrap();
    assert_eq!(secret_file::read(&path).unwrap().len(), SECRET_BYTES_MAX);
    fs::OpenOptions::new().append(true).open(&path).map(|it| it.set_len(1 << 20)).unwrap().unwrap();
    assert_eq!(code_of(&path), "key-file-too-large");
}

#[test]
fn a_link_is_followed_to_a_file_of_our_own() {
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("link");
    symlink(made(&dir, "ca.key", 0o600), &link).unwrap();
    assert_eq!(secret_file::read(&link).unwrap().as_slice(), b"secret");

    made(&dir, "ca.key", 0o644);
    assert_eq!(code_of(&link), "key-file-readable-by-others");

    let dangling = dir.path().join("dangling");
    symlink(dir.path().join("nothing"), &dangling).unwrap();
    assert_eq!(code_of(&dangling), "key-file-missing");
    let circle = dir.path().join("circle");
    symlink(&circle, &circle).unwrap();
    assert_eq!(code_of(&circle), "key-file-io");
}

#[test]
fn a_link_to_a_file_of_another_user_is_refused() {
    // Only root can give a file away; for others, `a_link_is_followed_to_a_file_of_our_own` holds.
    let dir = TempDir::new().unwrap();
    let path = made(&dir, "theirs", 0o600);
    if std::os::unix::fs::chown(&path, Some(65534), None).is_err() {
        return;
    }
    let link = dir.path().join("link");
    symlink(&path, &link).unwrap();
    assert_eq!(code_of(&link), "key-file-of-another");
}
